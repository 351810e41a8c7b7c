import { type MemberSpan, readKey, stringEnd } from '../scan-json.ts'
import { type Reference, ReferenceReader } from './reference-reader.ts'

const quote = 0x22
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

/** Where a request of this kind may name what its provider keeps. */
export interface SearchedBody {
  body: Buffer
  /** What may be named there beside files. */
  names: 'items-and-tools' | 'spoken-answers' | 'prompts-and-voices' | 'nothing-more'
  /** It has a `prompt` or `container` of its own: it is read whatever else it says. */
  isNamed?: boolean
  /** Where the items and the tools stand in the body, where that is known: they are searched there alone. */
  input?: MemberSpan | undefined
  tools?: MemberSpan | undefined
}

/** Behind `\u00`, the letters of any of the names: escaped, a search for a name does not see them. */
const escapedLetters = /^(?:5f|6[1-9a-f]|7[0-9a])/i

/**
 * What a request refers to at its provider, at any depth, names with escapes included.
 * @param searched a JSON object that `scanObject` has passed
 * @throws JsonScanError where a name or an id is no JSON text
 */
export function findReferences(searched: SearchedBody): Reference[] {
  return searched.isNamed === true || mayRefer(searched) ? walk(searched.body) : []
}

/** As `JsonWalker`, for bytes that are all there and are known to be balanced: ten times as fast. */
function walk(body: Buffer): Reference[] {
  const reader = new ReferenceReader(0, { whole: false })
  const path: (string | number)[] = []
  let isName = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (byte === quote) {
      const end = stringEnd(body, at)
      if (isName) path[path.length - 1] = readKey(body, at, end)
      else if (reader.wants(path)) reader.onText(path, readKey(body, at, end))
      at = end - 1
    } else if (byte === openBrace || byte === openBracket) {
      isName = byte === openBrace
      path.push(isName ? '' : 0)
    } else if (byte === closeBrace || byte === closeBracket) {
      path.pop()
      reader.onClose(path)
    } else if (byte === colon) isName = false
    else if (byte === comma) {
      const last = path.at(-1)
      isName = typeof last === 'string'
      if (typeof last === 'number') path[path.length - 1] = last + 1
    }
  }
  return reader.found
}

/** Says no for nearly every request, at the price of a few native searches. */
function mayRefer({ body, names, input, tools }: SearchedBody): boolean {
  if (body.includes('file_id') || hasEscapedName(body)) return true
  switch (names) {
    case 'nothing-more':
      return false
    case 'spoken-answers':
      return body.includes('"audio"')
    case 'prompts-and-voices':
      return body.includes('"prompt"') || body.includes('"voice"')
    case 'items-and-tools': {
      const tool = sliceOf(body, tools)
      if (['vector_store_id', '"container', 'skill_id'].some(name => tool.includes(name))) return true
      const items = sliceOf(body, input)
      return items[0] !== quote && ['"id"', 'container_id'].some(name => items.includes(name))
    }
  }
}

function sliceOf(body: Buffer, span: MemberSpan | undefined): Buffer {
  return span ? body.subarray(span.start, span.end) : body
}

function hasEscapedName(body: Buffer): boolean {
  for (let at = body.indexOf('\\u00'); at >= 0; at = body.indexOf('\\u00', at + 4))
    if (escapedLetters.test(body.toString('latin1', at + 4, at + 6))) return true
  return false
}
