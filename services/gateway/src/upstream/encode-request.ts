import { RepeatedHeaders } from './repeated-headers.ts'
import { lowerHeaderName } from './response-head.ts'
import type { UpstreamRequest } from './upstream-handler.ts'

/** Bodies up to this size are written together with their head, as one text of the same bytes. */
const oneWriteBytes = 16 * 1024

/** What stands in a header and would end it, or is no field text (RFC 9110, 5.5). */
const notFieldText = /[^\t\x20-\x7e\x80-\xff]/
/** What no request target holds (RFC 9112, 3.2). */
const notTarget = /[^\x21-\x7e\x80-\xff]/

/**
 * A request as it is written: `text` in latin1 and, where it is large, the body behind it.
 * @returns undefined where a header or the path cannot stand in a request
 */
export function encodeRequest(
  host: string,
  { method, path, headers, body }: UpstreamRequest,
): { text: string; body: Buffer | undefined } | undefined {
  if (notTarget.test(path)) return undefined
  const lines = headers instanceof RepeatedHeaders ? headers.lines : headerLines(headers)
  if (lines === undefined) return undefined
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${lines}`
  if (body.length > 0 || (method !== 'GET' && method !== 'DELETE' && method !== 'HEAD'))
    text += `content-length: ${body.length}\r\n`
  text += '\r\n'
  if (body.length === 0) return { text, body: undefined }
  return body.length <= oneWriteBytes ? { text: text + body.toString('latin1'), body: undefined } : { text, body }
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
