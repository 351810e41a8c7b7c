import { isTrue, type MemberSpan, type ScannedObject, scanObject } from './scan-json.ts'

/** A replacement of bytes `start..end` of a body. */
export interface Splice {
  start: number
  end: number
  text: string
}

/** Applies splices in one copy; the bytes between them stay as they came. No splice: the very same buffer. */
export function applySplices(body: Buffer, splices: readonly Splice[]): Buffer {
  if (splices.length === 0) return body
  const parts: Buffer[] = []
  let at = 0
  for (const splice of [...splices].sort((a, b) => a.start - b.start)) {
    parts.push(body.subarray(at, splice.start), Buffer.from(splice.text))
    at = splice.end
  }
  parts.push(body.subarray(at))
  return Buffer.concat(parts)
}

const includeUsage: ReadonlySet<string> = new Set(['include_usage'])

/**
 * Asks a streamed chat completion for its usage chunk. Only `include_usage` is touched: `include_obfuscation` and what
 * else the client has put into `stream_options` stays.
 * @returns the splice, or undefined where the client has asked already
 */
export function requestUsageChunk(body: Buffer, scanned: ScannedObject): Splice | undefined {
  const options = scanned.members.get('stream_options')
  if (!options) return addMember(scanned.closingBrace, scanned.empty, '"stream_options":{"include_usage":true}')
  if (body[options.start] !== 0x7b) return { ...options, text: '{"include_usage":true}' }
  const inner = scanObject(body.subarray(options.start, options.end), includeUsage)
  const asked = inner.members.get('include_usage')
  if (!asked) return addMember(options.start + inner.closingBrace, inner.empty, '"include_usage":true')
  const span: MemberSpan = { start: options.start + asked.start, end: options.start + asked.end }
  return isTrue(body, span) ? undefined : { ...span, text: 'true' }
}

/** Gives a member of a body a value, whether it is there or not. @param json the value, written as JSON */
export function setMember(scanned: ScannedObject, name: string, json: string): Splice {
  const span = scanned.members.get(name)
  return span
    ? { ...span, text: json }
    : addMember(scanned.closingBrace, scanned.empty, `${JSON.stringify(name)}:${json}`)
}

function addMember(closingBrace: number, empty: boolean, member: string): Splice {
  return { start: closingBrace, end: closingBrace, text: empty ? member : `,${member}` }
}
