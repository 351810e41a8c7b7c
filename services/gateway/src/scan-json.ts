import { JsonScanError } from '@sluice/runtime'

export { JsonScanError }

/** Where a top-level member of a JSON object stands in its bytes. Offsets are of the value: first byte, and one past the last. */
export interface MemberSpan {
  start: number
  end: number
  /** Of a member that `scanObject` found: how many objects and arrays stand inside each other in it. */
  depth?: number
}

/** A long string of base64, quotes included. */
export interface BinarySpan extends MemberSpan {
  /** Of its member, as it is written. */
  name: string
}

/** What one pass over a request body finds. */
export interface ScannedObject {
  /** Spans of the wanted members that are there. */
  members: Map<string, MemberSpan>
  /** Offset of the object's closing brace: where a member can be added. */
  closingBrace: number
  /** True where the object has no member at all. */
  empty: boolean
  /**
   * Bytes of long base64 in members that hold images, sound and files, and how many such strings there are. Of a file that is
   * text it is what its encoding adds, and no part.
   */
  binaryBytes: number
  binaryParts: number
  /** Where these parts stand, quotes included. */
  binaries: readonly BinarySpan[]
}

/** Where a value stands: names of members and numbers of elements, from the outermost value inwards. */
export type JsonPath = readonly (string | number)[]

/** Is told what stands where in a JSON text. Paths change behind the calls: do not keep them. */
export interface JsonReader {
  /** Says whether the text at this path is wanted. */
  wants: (path: JsonPath) => boolean
  onText: (path: JsonPath, text: string) => void
  /** An object or array has ended. */
  onClose?: (path: JsonPath) => void
}

// Of their own in each reader: imported, they cost a scan 6 % and a walk 8 % of its time.
const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

/** Below this many bytes a loop beats the call into native search. */
const nearBytes = 48

/**
 * Finds the wanted top-level members of a JSON object in one pass, without parsing the values. Two members of the same
 * name are refused: readers disagree on which one counts, and what we allow must be what the provider serves.
 * @throws JsonScanError
 */
export function scanObject(bytes: Buffer, wanted: ReadonlySet<string>): ScannedObject {
  const members = new Map<string, MemberSpan>()
  const tally: BinaryTally = { bytes: 0, parts: 0, spans: [], depth: 0 }
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== openBrace) throw new JsonScanError('The body must be a JSON object.')
  at = skipSpace(bytes, at + 1)
  if (bytes[at] === closeBrace) return finish(bytes, members, at, true, tally)
  for (;;) {
    if (bytes[at] !== quote) throw new JsonScanError('The body is not valid JSON.')
    const keyEnd = stringEnd(bytes, at)
    const key = wantedKey(bytes, at, keyEnd, wanted)
    at = skipSpace(bytes, keyEnd)
    if (bytes[at] !== colon) throw new JsonScanError('The body is not valid JSON.')
    const start = skipSpace(bytes, at + 1)
    tally.depth = 0
    const end = valueEnd(bytes, start, tally)
    if (key !== undefined) {
      if (members.has(key)) throw new JsonScanError(`The body names "${key}" twice.`)
      members.set(key, { start, end, depth: tally.depth })
    }
    at = skipSpace(bytes, end)
    if (bytes[at] === comma) at = skipSpace(bytes, at + 1)
    else if (bytes[at] === closeBrace) return finish(bytes, members, at, false, tally)
    else throw new JsonScanError('The body is not valid JSON.')
  }
}

function finish(
  bytes: Buffer,
  members: Map<string, MemberSpan>,
  closingBrace: number,
  empty: boolean,
  tally: BinaryTally,
): ScannedObject {
  if (skipSpace(bytes, closingBrace + 1) !== bytes.length)
    throw new JsonScanError('The body has bytes behind its JSON object.')
  return { members, closingBrace, empty, binaryBytes: tally.bytes, binaryParts: tally.parts, binaries: tally.spans }
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) at++
    else return at
  }
}

/** The wanted name that this key is. One of plain letters is compared where it stands: to decode it costs more. */
function wantedKey(bytes: Buffer, start: number, end: number, wanted: ReadonlySet<string>): string | undefined {
  if (!isPlain(bytes, start + 1, end - 1)) {
    const key = readKey(bytes, start, end)
    return wanted.has(key) ? key : undefined
  }
  const length = end - start - 2
  const names = wanted.size > fewNames ? ofLength(wanted, length) : wanted
  for (const name of names) if (name.length === length && standsAt(bytes, start + 1, name)) return name
  return undefined
}

const fewNames = 8
const noNames: readonly string[] = []
/** Of sets of many names, which are made once: by their lengths. */
const byLength = new WeakMap<ReadonlySet<string>, ReadonlyMap<number, readonly string[]>>()

function ofLength(wanted: ReadonlySet<string>, length: number): readonly string[] {
  let names = byLength.get(wanted)
  if (!names) {
    names = Map.groupBy(wanted, name => name.length)
    byLength.set(wanted, names)
  }
  return names.get(length) ?? noNames
}

/** ASCII without an escape. */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? backslash
    if (byte === backslash || byte > 0x7f) return false
  }
  return true
}

function standsAt(bytes: Buffer, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name.charCodeAt(i)) return false
  return true
}

/** Keys with escapes are decoded: `"mod\u0065l"` is `model` to every provider. */
function readKey(bytes: Buffer, start: number, end: number): string {
  const raw = bytes.toString('utf8', start + 1, end - 1)
  return raw.includes('\\') ? parseString(bytes, { start, end }) : raw
}

interface BinaryTally {
  bytes: number
  parts: number
  spans: BinarySpan[]
  /** Of the member under way. */
  depth: number
}

/** Shorter strings are counted as text whatever they are, longer ones are told by their beginning, their middle and their end. */
const sampledBytes = 512

/** Members in which a request carries what is no text. Base64 anywhere else is read by the model letter by letter. */
const binaryMembers: ReadonlySet<string> = new Set([
  'audio',
  'b64_json',
  'data',
  'encrypted_content',
  'file_data',
  'image',
  'image_url',
  'result',
  'signature',
  'url',
])
/** The beginning of base64, as it is or in a data URL; slashes and line ends may be escaped, the last escape cut off. */
const base64Head = /^"(?:data:[\w.+/\\;=-]{1,128},)?(?:[\w+/=-]|\\[/nr])*\\?$/
/** What stands in base64 anywhere else. An escape whose beginning is cut off is a letter of it. */
const base64Part = /^(?:[\w+/=-]|\\[/nr])*\\?$/
/** A data URL of a file that the model is given to read. */
const textUrl = /^"data:(?:text\\?\/|[\w.+-]+\\?\/(?:[\w.-]+\+)?(?:x-)?(?:json|ndjson|xml|yaml|javascript)[;,])/i
const space = 0x20

function countedStringEnd(bytes: Buffer, start: number, tally: BinaryTally): number {
  const end = stringEnd(bytes, start)
  if (end - start <= 4 * sampledBytes) return end
  const name = nameBefore(bytes, start)
  if (!binaryMembers.has(name)) return end
  const head = bytes.toString('latin1', start, start + sampledBytes)
  if (!base64Head.test(head) || !goesOn(bytes, start, end)) return end
  // Of encoded text the model reads what is encoded: three quarters.
  if (textUrl.test(head)) tally.bytes += Math.floor((end - start) / 4)
  else {
    tally.bytes += end - start
    tally.parts++
    tally.spans.push({ start, end, name })
  }
  return end
}

/** Whether what has begun as base64 is so to its end: text behind such a beginning is text. */
function goesOn(bytes: Buffer, start: number, end: number): boolean {
  const middle = (start + end) >> 1
  return (
    base64Part.test(bytes.toString('latin1', end - 1 - sampledBytes, end - 1)) &&
    base64Part.test(bytes.toString('latin1', middle, middle + sampledBytes)) &&
    bytes.subarray(start, end).indexOf(space) < 0
  )
}

/** The name of the member whose value begins at `start`; nothing for an element of an array. */
function nameBefore(bytes: Buffer, start: number): string {
  let at = skipSpaceBack(bytes, start - 1)
  if (bytes[at] !== colon) return ''
  at = skipSpaceBack(bytes, at - 1)
  return bytes.toString('latin1', bytes.lastIndexOf(quote, at - 1) + 1, at)
}

function skipSpaceBack(bytes: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) at--
    else return at
  }
}

/** Offset one past the closing quote of the string that begins at `start`. */
function stringEnd(bytes: Buffer, start: number): number {
  let at = start + 1
  for (;;) {
    const near = Math.min(bytes.length, at + nearBytes)
    while (at < near) {
      const byte = bytes[at]
      if (byte === quote) return at + 1
      at += byte === backslash ? 2 : 1
    }
    // Far: let native code look for the quote, then see whether an odd run of backslashes escapes it.
    const found = bytes.indexOf(quote, at)
    if (found < 0) throw new JsonScanError('The body is not valid JSON: a string does not end.')
    let backslashes = 0
    while (found - 1 - backslashes >= at && bytes[found - 1 - backslashes] === backslash) backslashes++
    if (backslashes % 2 === 0) return found + 1
    // Where one is escaped, more of them often stand near.
    at = found + 1
  }
}

function valueEnd(bytes: Buffer, start: number, tally: BinaryTally): number {
  const first = bytes[start]
  if (first === quote) return countedStringEnd(bytes, start, tally)
  if (first === openBrace || first === openBracket) return containerEnd(bytes, start, tally)
  let at = start
  for (;;) {
    const byte = bytes[at]
    if (byte === undefined || byte === comma || byte === closeBrace || byte === closeBracket || byte <= 0x20) break
    at++
  }
  if (at === start) throw new JsonScanError('The body is not valid JSON.')
  return at
}

/** Deeper than any real request; beyond it a provider's parser and ours may disagree. */
const maxDepth = 512

function containerEnd(bytes: Buffer, start: number, tally: BinaryTally): number {
  const closers: number[] = []
  let deepest = 0
  let at = start
  while (at < bytes.length) {
    const byte = bytes[at]
    if (byte === quote) {
      at = countedStringEnd(bytes, at, tally)
      continue
    }
    if (byte === openBrace || byte === openBracket) {
      closers.push(byte === openBrace ? closeBrace : closeBracket)
      if (closers.length > deepest) deepest = closers.length
      if (deepest > maxDepth) throw new JsonScanError('The body is nested too deeply.')
    } else if (byte === closeBrace || byte === closeBracket) {
      if (closers.pop() !== byte) throw new JsonScanError('The body is not valid JSON.')
      if (closers.length === 0) {
        tally.depth = deepest
        return at + 1
      }
    }
    at++
  }
  throw new JsonScanError('The body is not valid JSON: it ends early.')
}

/** The elements of an array that a scan has found, in their order; none of what is no array. */
export function* elementsOf(bytes: Buffer, { start }: MemberSpan): Generator<MemberSpan> {
  if (bytes[start] !== openBracket) return
  const tally: BinaryTally = { bytes: 0, parts: 0, spans: [], depth: 0 }
  let at = skipSpace(bytes, start + 1)
  while (bytes[at] !== closeBracket) {
    const end = valueEnd(bytes, at, tally)
    yield { start: at, end }
    at = skipSpace(bytes, end)
    if (bytes[at] === comma) at = skipSpace(bytes, at + 1)
  }
}

/** The string that begins at `start`, without its quotes. */
export function textAt(bytes: Buffer, start: number): MemberSpan {
  return { start: start + 1, end: stringEnd(bytes, start) - 1 }
}

/**
 * As `JsonWalker`, for bytes that are all there and are known to be balanced: ten times as fast.
 * @param names where the value itself stands
 * @throws JsonScanError where a name or a wanted text is no JSON text
 */
export function walkJson(bytes: Buffer, { start, end }: MemberSpan, reader: JsonReader, names: JsonPath = []): void {
  const path = [...names]
  let isName = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at]
    if (byte === quote) {
      const textEnd = stringEnd(bytes, at)
      if (isName) path[path.length - 1] = readKey(bytes, at, textEnd)
      else if (reader.wants(path)) reader.onText(path, readKey(bytes, at, textEnd))
      at = textEnd - 1
    } else if (byte === openBrace || byte === openBracket) {
      isName = byte === openBrace
      path.push(isName ? '' : 0)
    } else if (byte === closeBrace || byte === closeBracket) {
      path.pop()
      reader.onClose?.(path)
    } else if (byte === colon) isName = false
    else if (byte === comma) {
      const last = path.at(-1)
      isName = typeof last === 'string'
      if (typeof last === 'number') path[path.length - 1] = last + 1
    }
  }
}

/** Decodes a string member. @throws JsonScanError where the span is no string */
export function parseString(bytes: Buffer, span: MemberSpan): string {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8', span.start, span.end))
  } catch {
    throw new JsonScanError('The body is not valid JSON.')
  }
  if (typeof value !== 'string') throw new JsonScanError('A text was expected.')
  return value
}

/** True where the member is the literal `true`. */
export function isTrue(bytes: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && span.end - span.start === 4 && bytes[span.start] === 0x74
}

/** Reads a non-negative integer member; undefined where it is anything else. */
export function parseCount(bytes: Buffer, span: MemberSpan | undefined): number | undefined {
  if (!span) return undefined
  const digits = readDigits(bytes, span)
  if (digits !== undefined) return digits
  const value = Number(bytes.toString('latin1', span.start, span.end))
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

/** More of them may be no safe integer. */
const mostDigits = 15

/** Undefined: it is written in another way. */
function readDigits(bytes: Buffer, { start, end }: MemberSpan): number | undefined {
  if (start === end || end - start > mostDigits) return undefined
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}
