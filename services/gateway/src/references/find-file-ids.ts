import { readKey, stringEnd } from '../scan-json.ts'

const quote = 0x22
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

const memberNames: ReadonlySet<string> = new Set(['file_id', 'file_ids'])
/** Behind `\u00`, the letters of those names: escaped, a search for the name does not see them. */
const escapedLetters = /^(?:5f|6[4569c]|73)/i

/** An open object or array. */
interface Frame {
  isObject: boolean
  /** Of the member that it is the value of; an element has its array's. */
  name: string
}

/**
 * Ids of the files at the provider that a request refers to, at any depth, names with escapes included. What a client only
 * tells of is none of them: metadata, schemas and arguments of its own tools, citations in earlier answers.
 * @param body a JSON object that `scanObject` has passed
 */
export function findFileIds(body: Buffer): string[] {
  if (!mayNameFiles(body)) return []
  const found: string[] = []
  const frames: Frame[] = []
  let name = ''
  let isName = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (byte === quote) {
      const end = stringEnd(body, at)
      if (isName) name = readKey(body, at, end)
      else if (memberNames.has(name) && !isOnlyTold(frames)) found.push(readKey(body, at, end))
      at = end - 1
    } else if (byte === openBrace || byte === openBracket) {
      isName = byte === openBrace
      frames.push({ isObject: isName, name })
    } else if (byte === closeBrace || byte === closeBracket) frames.pop()
    else if (byte === colon) isName = false
    else if (byte === comma) {
      const frame = frames.at(-1)
      isName = frame?.isObject === true
      if (frame && !isName) name = frame.name
    }
  }
  return found
}

/** Says no for nearly every request, at the price of two native searches. */
function mayNameFiles(body: Buffer): boolean {
  if (body.includes('file_id')) return true
  for (let at = body.indexOf('\\u00'); at >= 0; at = body.indexOf('\\u00', at + 4))
    if (escapedLetters.test(body.toString('latin1', at + 4, at + 6))) return true
  return false
}

function isOnlyTold(frames: readonly Frame[]): boolean {
  const member = frames[1]?.name
  const isInside = (name: string): boolean => frames.some((frame, depth) => depth > 1 && frame.name === name)
  if (member === 'metadata') return true
  if (member === 'tools') return isInside('parameters') || isInside('input_schema')
  // A call of a tool in Anthropic's dialect has its arguments as an object.
  return isInside('annotations') || (member === 'messages' && isInside('input'))
}
