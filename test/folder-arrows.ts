import { posix } from 'node:path'
import { readImports, type SourceFile } from './import-arrows.ts'

/** What the files of a folder may import, of other folders beside it; `.` is the files beside the folders. */
export type FolderArrows = Readonly<Record<string, readonly string[]>>

/** Lowest first; the path of a call (`.`) stands above and below all but `wire` and `upstream`. */
export const gatewayArrows: FolderArrows = {
  wire: [],
  upstream: ['wire'],
  views: ['.'],
  listener: ['.', 'wire'],
  references: ['.'],
  'named-models': ['.'],
  uploads: ['.'],
  bounds: ['.', 'named-models', 'references'],
  leases: ['.', 'bounds'],
  endings: ['.'],
  shapes: ['.', 'endings'],
  journal: ['.', 'views'],
  exchanges: ['.', 'journal', 'upstream'],
  batches: [
    '.',
    'bounds',
    'exchanges',
    'journal',
    'leases',
    'named-models',
    'references',
    'shapes',
    'uploads',
    'views',
  ],
  files: ['.', 'batches', 'bounds', 'exchanges', 'uploads', 'views'],
  stored: ['.', 'exchanges', 'journal', 'leases', 'references', 'shapes', 'upstream', 'views'],
  sockets: ['.', 'bounds', 'endings', 'journal', 'leases', 'named-models', 'references', 'uploads', 'views'],
}

/** Every arrow between the folders of `root` that is not in the table, as `path: what is wrong`; tests are left out. */
export function findFolderViolations(files: readonly SourceFile[], root: string, arrows: FolderArrows): string[] {
  const found: string[] = []
  for (const { path, text } of files) {
    if (!path.startsWith(`${root}/`) || !path.endsWith('.ts') || path.endsWith('.test.ts')) continue
    const folder = folderOf(path, root)
    if (folder === '.') continue
    const allowed = arrows[folder]
    if (!allowed) {
      found.push(`${path}: ${folder}/ stands nowhere; say what it may import`)
      continue
    }
    for (const { specifier } of readImports(text)) {
      if (!specifier.startsWith('.')) continue
      const target = folderOf(posix.join(posix.dirname(path), specifier), root)
      if (target !== folder && !allowed.includes(target))
        found.push(
          `${path}: imports ${specifier}; ${folder}/ does not stand on ${target === '.' ? 'these' : `${target}/`}`,
        )
    }
  }
  return found
}

/** Allowed arrows that nobody needs, as `folder → folder`. */
export function findUnusedArrows(files: readonly SourceFile[], root: string, arrows: FolderArrows): string[] {
  return Object.entries(arrows).flatMap(([folder, allowed]) =>
    allowed
      .filter(target => {
        const without = { ...arrows, [folder]: allowed.filter(other => other !== target) }
        return findFolderViolations(files, root, without).length === findFolderViolations(files, root, arrows).length
      })
      .map(target => `${folder} → ${target}`),
  )
}

function folderOf(path: string, root: string): string {
  const inside = path.slice(root.length + 1)
  return inside.includes('/') ? inside.slice(0, inside.indexOf('/')) : '.'
}
