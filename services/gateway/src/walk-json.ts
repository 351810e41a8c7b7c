import type { JsonPath } from './json-walker.ts'
import { type MemberSpan, readKey, stringEnd } from './scan-json.ts'

/** Is told what stands where in a JSON text. Paths change behind the calls: do not keep them. */
export interface JsonReader {
  /** Says whether the text at this path is wanted. */
  wants: (path: JsonPath) => boolean
  onText: (path: JsonPath, text: string) => void
  /** An object or array has ended. */
  onClose?: (path: JsonPath) => void
}

const quote = 0x22
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

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
