import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { ArchiveError } from './archive-error.ts'
import type { ArchiveStorage } from './archive-storage.ts'

/**
 * An archive in a folder. A file is written beside its place, synced, moved there, and its folder synced: after a crash at any
 * point there is the whole file or none, and what is left of the attempt has a name that nothing reads.
 */
export function folderArchive(root: string): ArchiveStorage {
  const pathOf = (name: string): string => {
    if (!/^[A-Za-z0-9/.-]+$/.test(name) || name.split('/').some(part => part === '' || part.startsWith('.')))
      throw new ArchiveError(`${JSON.stringify(name)} is no name of the archive`)
    return join(root, name)
  }
  return {
    place: root,
    async read(name) {
      try {
        return await readFile(pathOf(name))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    },
    async write(name, content) {
      const path = pathOf(name)
      const folder = dirname(path)
      await mkdir(folder, { recursive: true, mode: 0o750 })
      const temporary = join(folder, `.${randomUUID()}.tmp`)
      try {
        const file = await open(temporary, 'wx', 0o640)
        try {
          await file.writeFile(content)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      // Every folder on the way: each may have been made just now.
      for (let at = folder; at.length >= root.length; at = dirname(at)) await syncFolder(at)
    },
    async list(prefix) {
      const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(error => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      })
      return entries
        .filter(entry => entry.isFile() && !entry.name.startsWith('.'))
        .map(entry => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
        .filter(name => name.startsWith(prefix))
        .sort()
    },
    close: async () => {},
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
