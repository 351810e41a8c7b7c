/** Where the archive lies. Names are paths of letters, digits, `-`, `.` and `/`. */
export interface ArchiveStorage {
  /** For people: where this is, without credentials. */
  readonly place: string
  /** Undefined: there is none. */
  read(name: string): Promise<Buffer | undefined>
  /** Whole or not at all, and on the disk of the store when it returns. */
  write(name: string, content: Uint8Array): Promise<void>
  /** Every name that begins with this, in order. */
  list(prefix: string): Promise<string[]>
  close(): Promise<void>
}

/** The archive as it is configured. */
export type ArchiveTarget =
  | { kind: 'folder'; path: string }
  | {
      kind: 's3'
      bucket: string
      /** Ends with `/`, or is empty. */
      prefix: string
      /** Absent: Amazon's own. */
      endpoint?: string
      region: string
      credentials?: { accessKeyId: string; secretAccessKey: string }
    }

/** Reads `SLUICE_ARCHIVE`: a folder, or `s3://bucket/prefix?endpoint=…&region=…`. Undefined: it is neither. */
export function parseArchiveTarget(
  text: string,
  credentials?: { accessKeyId: string; secretAccessKey: string },
): ArchiveTarget | undefined {
  if (text.startsWith('/')) return { kind: 'folder', path: text }
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  if (url.protocol === 'file:') return { kind: 'folder', path: decodeURIComponent(url.pathname) }
  if (url.protocol !== 's3:' || url.hostname === '' || url.username !== '' || url.password !== '') return undefined
  const prefix = decodeURIComponent(url.pathname).replaceAll(/^\/+|\/+$/g, '')
  const endpoint = url.searchParams.get('endpoint')
  if (endpoint !== null && !/^https?:\/\/[^/@]+$/.test(endpoint)) return undefined
  return {
    kind: 's3',
    bucket: url.hostname,
    prefix: prefix === '' ? '' : `${prefix}/`,
    region: url.searchParams.get('region') ?? 'us-east-1',
    ...(endpoint === null ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  }
}

/** Opens the archive; the library for the other kind of store is not loaded. */
export async function openArchive(target: ArchiveTarget): Promise<ArchiveStorage> {
  if (target.kind === 'folder') return (await import('./folder-archive.ts')).folderArchive(target.path)
  return (await import('./s3-archive.ts')).s3Archive(target)
}
