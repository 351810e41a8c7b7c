/** A response object as its provider tells it, read as far as we need it. */
export interface ToldResponse {
  id: string
  /** Nothing more will be made: what it costs is known. */
  ended: boolean
  status: string
  object: Record<string, unknown>
}

const underWay: ReadonlySet<unknown> = new Set(['queued', 'in_progress'])

/** Undefined where it is no response object. */
export function readResponse(value: unknown): ToldResponse | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const object = value as Record<string, unknown>
  const { id, status } = object
  if (typeof id !== 'string' || id === '' || id.length > 256 || typeof status !== 'string') return undefined
  return { id, status, ended: !underWay.has(status), object }
}

/** Reads bytes of JSON; undefined where they are no response object. */
export function parseResponse(body: Buffer): ToldResponse | undefined {
  try {
    return readResponse(JSON.parse(body.toString('utf8')))
  } catch {
    return undefined
  }
}
