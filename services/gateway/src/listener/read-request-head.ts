import type { ReadHeaders } from '../request-headers.ts'

/** The headers of a request: requests that have the same ones share them. */
export interface HeaderFields {
  /** Name, value, name, value … as they came, but for the length of the body. */
  raw: readonly string[]
  /** What they mean, once somebody has asked. */
  read?: ReadHeaders
}

/** A head whose next one is likely the same: clients send the same headers with each request of a connection. */
interface KnownHead {
  method: string
  target: string
  fields: HeaderFields
  /** Of the text: up to the digits of its content length, and behind them, the empty line included. */
  before: string
  after: string
}

/** The head of a request whose body has a length. */
export interface RequestHead {
  method: string
  /** Path and query. */
  target: string
  fields: HeaderFields
  /** Where the body begins in the bytes that were read. */
  bodyStart: number
  bodyBytes: number
}

/** The largest head that is read here. */
export const maxHeadBytes = 8 * 1024
const maxHeaders = 64
const headEnd = Buffer.from('\r\n\r\n')
const beginning = 'POST /'

const requestLine = /^(POST) (\/[\x21-\x7e]*) HTTP\/1\.1$/
/** Lines of plain field text (RFC 9110, 5.5), each of which begins with a name (RFC 9110, 5.6.2). */
const headerLines = /^(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e]*)+$/
const maxLengthDigits = 9
const contentLength = /^(?:0|[1-9][0-9]{0,8})/
const onlyContentLength = /^(?:0|[1-9][0-9]{0,8})$/
/** What changes how a message is framed, or what becomes of its connection. */
const notHere = new Set(['transfer-encoding', 'expect', 'upgrade', 'trailer', 'http2-settings'])

/**
 * Reads the heads of one connection's requests. Strict on purpose: there is one way to read what passes, and everything else
 * is for a complete HTTP parser to read or to refuse.
 */
export class RequestHeadReader {
  #known: KnownHead | undefined

  /**
   * @param seen how many of the bytes were there the last time, when it was unfinished
   * @returns `unfinished` where its end has not come, undefined where it is no head of a `POST` with a length
   */
  read(bytes: Buffer, seen = 0): RequestHead | 'unfinished' | undefined {
    const known = this.#known && readAsKnown(bytes, this.#known)
    if (known) return known
    const end = bytes.indexOf(headEnd, Math.max(0, seen - headEnd.length + 1))
    if (end < 0) return bytes.length <= maxHeadBytes && mayBegin(bytes) ? 'unfinished' : undefined
    if (end > maxHeadBytes) return undefined
    return this.#readNew(bytes.toString('latin1', 0, end), end + headEnd.length)
  }

  #readNew(text: string, bodyStart: number): RequestHead | undefined {
    const lineEnd = text.indexOf('\r\n')
    if (lineEnd < 0) return undefined
    const [, method, target] = requestLine.exec(text.slice(0, lineEnd)) ?? []
    if (method === undefined || target === undefined || !headerLines.test(text.slice(lineEnd))) return undefined
    const raw: string[] = []
    let bodyBytes: number | undefined
    let lengthAt = 0
    let lengthDigits = 0
    let hasHost = false
    for (let at = lineEnd; at < text.length; ) {
      const start = at + 2
      const next = text.indexOf('\r\n', start)
      at = next < 0 ? text.length : next
      const colon = text.indexOf(':', start)
      const name = text.slice(start, colon)
      const value = text.slice(colon + 1, at).trim()
      if (raw.length === 2 * maxHeaders) return undefined
      const lower = name.toLowerCase()
      if (lower === 'content-length') {
        if (bodyBytes !== undefined || !onlyContentLength.test(value)) return undefined
        bodyBytes = Number(value)
        lengthAt = text.indexOf(value, colon)
        lengthDigits = value.length
        continue
      }
      raw.push(name, value)
      if (lower === 'host') {
        if (hasHost || value === '') return undefined
        hasHost = true
      } else if (lower === 'connection') {
        if (value.toLowerCase() !== 'keep-alive') return undefined
      } else if (notHere.has(lower)) return undefined
    }
    if (!hasHost || bodyBytes === undefined) return undefined
    const fields: HeaderFields = { raw }
    this.#known = {
      method,
      target,
      fields,
      before: text.slice(0, lengthAt),
      after: `${text.slice(lengthAt + lengthDigits)}\r\n\r\n`,
    }
    return { method, target, fields, bodyStart, bodyBytes }
  }
}

/** The head, where it is whole and the known one but for the length of its body: no more of it is looked at then. */
function readAsKnown(bytes: Buffer, { method, target, fields, before, after }: KnownHead): RequestHead | undefined {
  const text = bytes.toString('latin1', 0, before.length + maxLengthDigits + after.length)
  // Compared as parts: `startsWith` goes character by character.
  if (text.slice(0, before.length) !== before) return undefined
  const digits = contentLength.exec(text.slice(before.length, before.length + maxLengthDigits))?.[0] ?? ''
  const lengthEnd = before.length + digits.length
  const bodyStart = lengthEnd + after.length
  if (digits === '' || text.slice(lengthEnd, bodyStart) !== after) return undefined
  return { method, target, fields, bodyStart, bodyBytes: Number(digits) }
}

function mayBegin(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, beginning.length)
  return bytes.toString('latin1', 0, length) === beginning.slice(0, length)
}
