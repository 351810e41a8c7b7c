import { Refusal } from '../refusal.ts'

/** The refusal of a body that is no form as we and every provider read it. */
export function wrongForm(what: string, cause?: unknown): Refusal {
  return new Refusal('invalid_request', `The body is not a multipart form that can be served: ${what}.`, { cause })
}

const parameter = /;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|([^\s";,]+))\s*/gy

/**
 * Parameters behind the first word of a header, names in lower case. Undefined where it is written so that two readers could
 * differ: a name twice, an escape, anything that is no parameter.
 */
export function readParameters(header: string, firstWord: string): Map<string, string> | undefined {
  if (header.slice(0, firstWord.length).toLowerCase() !== firstWord) return undefined
  const rest = header.slice(firstWord.length).trimEnd()
  const found = new Map<string, string>()
  parameter.lastIndex = rest.length - rest.trimStart().length
  while (parameter.lastIndex < rest.length) {
    const match = parameter.exec(rest)
    if (!match) return undefined
    const name = (match[1] ?? '').toLowerCase()
    if (found.has(name)) return undefined
    found.set(name, match[2] ?? match[3] ?? '')
  }
  return found
}

/** The boundary of a form. @throws Refusal 400 where the header names none, or could be read in two ways */
export function readBoundary(rawHeaders: readonly string[]): string {
  const types: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]?.toLowerCase() === 'content-type') types.push(rawHeaders[i + 1] ?? '')
  const [type] = types
  if (type === undefined || types.length > 1) throw wrongForm('it needs one Content-Type header')
  const boundary = readParameters(type, 'multipart/form-data')?.get('boundary')
  if (boundary === undefined || !/^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary))
    throw wrongForm('its Content-Type must be multipart/form-data with one boundary')
  return boundary
}

/**
 * Sees that a form begins with its first delimiter and ends with its last: readers disagree on what stands before, behind
 * and between two ends, and what we read must be what the provider reads.
 */
export class FormFrame {
  readonly #opening: Buffer
  readonly #closing: Buffer
  #size = 0
  /** The last bytes, in which the closing delimiter may have begun. */
  #tail: Buffer = Buffer.alloc(0)
  /** Where the first closing delimiter ends; -1 before it. */
  #end = -1

  constructor(boundary: string) {
    this.#opening = Buffer.from(`--${boundary}\r\n`, 'latin1')
    this.#closing = Buffer.from(`\r\n--${boundary}--`, 'latin1')
  }

  /** @throws Refusal 400 */
  take(chunk: Buffer): void {
    for (let at = this.#size; at < this.#opening.length && at - this.#size < chunk.length; at++)
      if (chunk[at - this.#size] !== this.#opening[at]) throw wrongForm('it does not begin with its boundary')
    this.#size += chunk.length
    if (this.#end < 0) {
      const seen = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk])
      const found = seen.indexOf(this.#closing)
      if (found >= 0) {
        this.#end = this.#size - seen.length + found + this.#closing.length
        this.#tail = seen.subarray(found + this.#closing.length)
      } else this.#tail = Buffer.from(seen.subarray(Math.max(0, seen.length - this.#closing.length + 1)))
    } else this.#tail = Buffer.concat([this.#tail, chunk])
    if (this.#end >= 0 && !'\r\n'.startsWith(this.#tail.toString('latin1')))
      throw wrongForm('there are bytes behind its end')
  }

  /** @throws Refusal 400 where the form has not ended */
  finish(): void {
    if (this.#end < 0) throw wrongForm('it ends before its last boundary')
    if (this.#tail.length === 1) throw wrongForm('there are bytes behind its end')
  }
}
