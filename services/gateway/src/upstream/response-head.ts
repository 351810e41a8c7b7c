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

/** Lines of field text (RFC 9110, 5.5), each with its CRLF: neither folded lines nor lone carriage returns pass. */
const wellFormed = /^(?:[\t\x20-\x7e\x80-\xff]+\r\n)+$/
const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: |$)/
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const maxHeaders = 200
const maxRemembered = 2_000
const maxRememberedLength = 64

const lowerNames = new Map<string, string>()

/** Lower-cases a header's name, remembering what it has seen. @returns undefined where it is no name */
export function lowerHeaderName(name: string): string | undefined {
  let lower = lowerNames.get(name)
  if (lower === undefined) {
    if (!token.test(name)) return undefined
    lower = name.toLowerCase()
    // A copy: the name is a part of its head, which would be kept with it.
    if (lowerNames.size < maxRemembered && name.length <= maxRememberedLength)
      lowerNames.set(Buffer.from(name, 'latin1').toString('latin1'), lower)
  }
  return lower
}

/**
 * Reads a response's head, the empty line left out.
 * @throws UpstreamError `BAD_RESPONSE` where it is malformed, or frames the body in two ways
 */
export function parseResponseHead(text: string): ResponseHead {
  if (!wellFormed.test(text)) throw badResponse('a malformed head')
  let lineEnd = text.indexOf('\r\n')
  const [, minor, code] = statusLine.exec(text.slice(0, lineEnd)) ?? []
  if (code === undefined) throw badResponse('no HTTP/1.1 status line')
  const head: ResponseHead = {
    status: Number(code),
    headers: [],
    contentLength: undefined,
    chunked: false,
    keepAlive: minor === '1',
    closes: false,
    keepAliveS: undefined,
  }
  for (let at = lineEnd + 2; at < text.length; at = lineEnd + 2) {
    lineEnd = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    const name = colon > at && colon < lineEnd ? lowerHeaderName(text.slice(at, colon)) : undefined
    if (name === undefined) throw badResponse('a header without a name')
    const value = trimmed(text, colon + 1, lineEnd)
    if (head.headers.push(name, value) > maxHeaders * 2) throw badResponse('too many headers')
    readFraming(head, name, value)
  }
  if (head.closes) head.keepAlive = false
  if (head.chunked && (head.contentLength !== undefined || minor === '0'))
    throw badResponse('a body that is framed in two ways')
  return head
}

function readFraming(head: ResponseHead, name: string, value: string): void {
  switch (name) {
    case 'content-length': {
      const length = /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined
      if (length === undefined || (head.contentLength ?? length) !== length)
        throw badResponse('no single content length')
      head.contentLength = length
      return
    }
    case 'transfer-encoding':
      if (head.chunked || value.toLowerCase() !== 'chunked') throw badResponse('a transfer encoding other than chunked')
      head.chunked = true
      return
    case 'connection': {
      const options = value.toLowerCase().split(',')
      // Whatever else is said: `close` closes (RFC 9112, 9.3).
      if (options.some(option => option.trim() === 'close')) head.closes = true
      else if (options.some(option => option.trim() === 'keep-alive')) head.keepAlive = true
      return
    }
    case 'keep-alive': {
      const seconds = /(?:^|[,\s])timeout=([0-9]{1,6})/i.exec(value)?.[1]
      if (seconds !== undefined) head.keepAliveS = Number(seconds)
    }
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
