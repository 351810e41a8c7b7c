import { JsonPicker, responseMembers, type SaidText } from '@sluice/usage'
import { maxParsedBytes } from '../shapes/read-json.ts'

/** A response object as its provider tells it, read as far as we need it. */
export interface ToldResponse {
  id: string
  /** Nothing more will be made: what it costs is known. */
  ended: boolean
  status: string
  object: Record<string, unknown>
  /** What it says, where that is no longer in `object`. */
  said?: SaidText
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

/** Reads a response object as its bytes come, whatever its size: what counts of it, without what it says. */
export class LargeResponse {
  readonly #picker = new JsonPicker(responseMembers)

  write(chunk: Buffer): void {
    this.#picker.write(chunk)
  }

  /** Undefined where it is none, or not whole. */
  told(): ToldResponse | undefined {
    const told = this.#picker.isWhole ? readResponse(this.#picker.value()) : undefined
    return told && { ...told, said: this.#picker.text }
  }
}

/** Reads bytes of JSON; undefined where they are no response object. */
export function parseResponse(body: Buffer): ToldResponse | undefined {
  if (body.length > maxParsedBytes) {
    const large = new LargeResponse()
    large.write(body)
    return large.told()
  }
  try {
    return readResponse(JSON.parse(body.toString('utf8')))
  } catch {
    return undefined
  }
}
