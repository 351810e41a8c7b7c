import { RepeatedHeaders } from './repeated-headers.ts'
import { lowerHeaderName } from './response-head.ts'
import type { UpstreamRequest } from './upstream-handler.ts'

/** What stands in a header and would end it, or is no field text (RFC 9110, 5.5). */
const notFieldText = /[^\t\x20-\x7e\x80-\xff]/
/** What no request target holds (RFC 9112, 3.2). */
const notTarget = /[^\x21-\x7e\x80-\xff]/

/**
 * The head of a request as it is written, in latin1: two pieces.
 * @returns undefined where a header or the path cannot stand in a request
 */
export function encodeHead(host: string, request: UpstreamRequest): [string, string] | undefined {
  const { method, headers, body } = request
  const first = headers instanceof RepeatedHeaders ? headers.firstOf(host, request) : firstLines(host, request)
  if (first === undefined) return undefined
  const hasLength = body.length > 0 || (method !== 'GET' && method !== 'DELETE' && method !== 'HEAD')
  return [first, hasLength ? `content-length: ${body.length}\r\n\r\n` : '\r\n']
}

/** All of a head but the length of its body. @returns undefined where something of it cannot stand in a request */
export function firstLines(
  host: string,
  { method, path, headers }: Pick<UpstreamRequest, 'method' | 'path' | 'headers'>,
): string | undefined {
  if (notTarget.test(path)) return undefined
  const lines = headers instanceof RepeatedHeaders ? headers.lines : headerLines(headers)
  if (lines === undefined) return undefined
  return `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${lines}`
}

/** Headers as they are written. @returns undefined where one of them cannot stand in a request */
export function headerLines(headers: readonly string[]): string | undefined {
  let lines = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (notFieldText.test(value) || lowerHeaderName(name) === undefined) return undefined
    lines += `${name}: ${value}\r\n`
  }
  return lines
}
