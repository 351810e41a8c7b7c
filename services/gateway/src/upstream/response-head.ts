import { badResponse } from './upstream-error.ts'

/** Status line and headers of a response, and what they say of its framing. */
export interface ResponseHead {
  status: number
  /** Name in lower case, value, name, value … */
  headers: string[]
  contentLength: number | undefined
  chunked: boolean
  /** The connection may be used again. */
  keepAlive: boolean
  /** It is said to be closed. */
  closes: boolean
  /** How long the provider keeps an idle connection, where it says so. */
  keepAliveS: number | undefined
}

/** A header as it came, and what it says. */
interface HeaderLine {
  /** With its CRLF. */
  bytes: Buffer
  name: string
  value: string
  framing: Framing | undefined
}

type Framing = { says: 'length' | 'kept-for'; number: number } | { says: 'chunked' | 'closes' | 'keeps' }

/** A line of field text (RFC 9110, 5.5) with its CRLF: neither folded lines nor lone carriage returns pass. */
const wellFormed = /^[\t\x20-\x7e\x80-\xff]+\r\n$/
const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: |$)/
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const maxHeaders = 200
const maxRemembered = 2_000
const maxRememberedLength = 64
/** The lines of a larger head are not kept for the next: each keeps all of the head that it came in. */
const maxKeptHeadLength = 4 * 1024

const lowerNames = new Map<string, string>()

/** Lower-cases a header's name, remembering what it has seen. @returns undefined where it is no name */
export function lowerHeaderName(name: string): string | undefined {
  let lower = lowerNames.get(name)
  if (lower === undefined) {
    if (!token.test(name)) return undefined
    lower = name.toLowerCase()
    // A copy: the name is a part of its head, which would be kept with it.
    if (lowerNames.size < maxRemembered && name.length <= maxRememberedLength) lowerNames.set(copyOf(name), lower)
  }
  return lower
}

/** A text of its own: a part of a larger one keeps all of that. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/**
 * Reads the heads of the responses of one connection. From one to the next most lines are the same, byte for byte: what such
 * a line says is known.
 */
export class ResponseHeadReader {
  /** Of the last head. */
  #statusLine = Buffer.alloc(0)
  #status = 0
  #minor = ''
  #lines: HeaderLine[] = []

  /**
   * Reads a response's head, the empty line left out.
   * @param length of the head, which the bytes begin with
   * @throws UpstreamError `BAD_RESPONSE` where it is malformed, or frames the body in two ways
   */
  read(bytes: Buffer, length: number): ResponseHead {
    let at = this.#readStatus(bytes, length)
    const head: ResponseHead = {
      status: this.#status,
      headers: [],
      contentLength: undefined,
      chunked: false,
      keepAlive: this.#minor === '1',
      closes: false,
      keepAliveS: undefined,
    }
    const known = this.#lines
    let count = 0
    let text: string | undefined
    while (at < length) {
      if (count === maxHeaders) throw badResponse('too many headers')
      let line = known[count]
      if (line === undefined || !standsAt(bytes, at, length, line.bytes)) {
        text ??= bytes.toString('latin1', 0, length)
        line = readLine(text, at)
        known[count] = line
      }
      count++
      at += line.bytes.length
      head.headers.push(line.name, line.value)
      if (line.framing) applyFraming(head, line.framing)
    }
    const kept = length <= maxKeptHeadLength ? count : 0
    if (known.length !== kept) known.length = kept
    if (head.closes) head.keepAlive = false
    if (head.chunked && (head.contentLength !== undefined || this.#minor === '0'))
      throw badResponse('a body that is framed in two ways')
    return head
  }

  /** @returns where the first header begins */
  #readStatus(bytes: Buffer, length: number): number {
    const line = this.#statusLine
    if (line.length > 0 && standsAt(bytes, 0, length, line)) return line.length
    const text = bytes.toString('latin1', 0, length)
    const end = lineEndOf(text, 0)
    const [, minor, code] = statusLine.exec(text.slice(0, end - 2)) ?? []
    if (minor === undefined || code === undefined) throw badResponse('no HTTP/1.1 status line')
    this.#statusLine = Buffer.from(text.slice(0, end), 'latin1')
    this.#minor = minor
    this.#status = Number(code)
    return end
  }
}

/** A line stands there: compared byte by byte, which takes less than to make a text of it. */
function standsAt(bytes: Buffer, at: number, end: number, line: Buffer): boolean {
  if (at + line.length > end) return false
  for (let i = 0; i < line.length; i++) if (bytes[at + i] !== line[i]) return false
  return true
}

/** Where a line ends, behind its CRLF. @throws UpstreamError where it is no field text */
function lineEndOf(text: string, at: number): number {
  const end = text.indexOf('\r\n', at) + 2
  if (end < 2 || !wellFormed.test(text.slice(at, end))) throw badResponse('a malformed head')
  return end
}

function readLine(text: string, at: number): HeaderLine {
  const end = lineEndOf(text, at)
  const part = text.slice(at, end)
  // Whoever keeps a header of a large head keeps its own line, and not all of the head.
  const line = text.length <= maxKeptHeadLength ? part : copyOf(part)
  const colon = line.indexOf(':')
  const name = colon > 0 ? lowerHeaderName(line.slice(0, colon)) : undefined
  if (name === undefined) throw badResponse('a header without a name')
  const value = trimmed(line, colon + 1, line.length - 2)
  return { bytes: Buffer.from(line, 'latin1'), name, value, framing: readFraming(name, value) }
}

/** What a header says of the framing of its message. @throws UpstreamError where that can be read in two ways */
function readFraming(name: string, value: string): Framing | undefined {
  switch (name) {
    case 'content-length':
      if (!/^[0-9]{1,15}$/.test(value)) throw badResponse('no single content length')
      return { says: 'length', number: Number(value) }
    case 'transfer-encoding':
      if (value.toLowerCase() !== 'chunked') throw badResponse('a transfer encoding other than chunked')
      return { says: 'chunked' }
    case 'connection': {
      const options = value
        .toLowerCase()
        .split(',')
        .map(option => option.trim())
      // Whatever else is said: `close` closes (RFC 9112, 9.3).
      if (options.includes('close')) return { says: 'closes' }
      return options.includes('keep-alive') ? { says: 'keeps' } : undefined
    }
    case 'keep-alive': {
      const seconds = /(?:^|[,\s])timeout=([0-9]{1,6})/i.exec(value)?.[1]
      return seconds === undefined ? undefined : { says: 'kept-for', number: Number(seconds) }
    }
  }
}

function applyFraming(head: ResponseHead, framing: Framing): void {
  switch (framing.says) {
    case 'length':
      if ((head.contentLength ?? framing.number) !== framing.number) throw badResponse('no single content length')
      head.contentLength = framing.number
      return
    case 'chunked':
      if (head.chunked) throw badResponse('a transfer encoding other than chunked')
      head.chunked = true
      return
    case 'closes':
      head.closes = true
      return
    case 'keeps':
      head.keepAlive = true
      return
    case 'kept-for':
      head.keepAliveS = framing.number
  }
}

/** The text without the white space around it. */
function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9
}
