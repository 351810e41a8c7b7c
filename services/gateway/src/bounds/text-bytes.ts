import { isAscii, isUtf8 } from 'node:buffer'

const backslash = 0x5c
const letterU = 0x75

/**
 * The most tokens that JSON text can be, from its bytes alone: no tokenizer makes more tokens of a text than it has bytes of
 * UTF-8. Some bring a text into its compatibility form first, in which one sign of three bytes may be thirty-three, also where it
 * is written as an escape: such signs count as long as they can get.
 */
export function countTextBytes(json: Buffer): number {
  if (isAscii(json) && !mayHaveEscapedSigns(json)) return json.length
  // What is no UTF-8 is read with signs of replacement in it.
  return countLongForms(isUtf8(json) ? json : Buffer.from(json.toString('utf8')))
}

/** `\u`, also that of an escaped backslash before the letter: then the slow way says the same. */
function mayHaveEscapedSigns(json: Buffer): boolean {
  // One byte is found far faster than two.
  const first = json.indexOf(backslash)
  return first >= 0 && json.includes('\\u', first)
}

function countLongForms(json: Buffer): number {
  const longForms = longFormBytes()
  let bytes = 0
  let at = 0
  while (at < json.length) {
    const byte = json[at] ?? 0
    if (byte === backslash) {
      const unit = json[at + 1] === letterU ? hexAt(json, at + 2) : Number.NaN
      // Other escapes are longer than what they stand for; half of a pair counts half. A sign of more bytes is none of them.
      if (Number.isNaN(unit)) {
        const escaped = (json[at + 1] ?? 0) < 0x80 ? 2 : 1
        bytes += escaped
        at += escaped
      } else {
        bytes += Math.max(6, longForms[unit] ?? 0)
        at += 6
      }
    } else if (byte < 0x80) {
      bytes++
      at++
    } else {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      if (length === 2) bytes += longForms[((byte & 0x1f) << 6) | low(json, at + 1)] ?? 2
      else if (length === 3)
        bytes += longForms[((byte & 0x0f) << 12) | (low(json, at + 1) << 6) | low(json, at + 2)] ?? 3
      else bytes += longestPair
      at += length
    }
  }
  return bytes
}

function low(json: Buffer, at: number): number {
  return (json[at] ?? 0) & 0x3f
}

/** NaN where these are no four hexadecimal digits. */
function hexAt(json: Buffer, at: number): number {
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const byte = json[i] ?? 0
    const digit =
      byte >= 0x30 && byte <= 0x39
        ? byte - 0x30
        : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66
          ? (byte | 0x20) - 0x57
          : -1
    if (digit < 0) return Number.NaN
    value = value * 16 + digit
  }
  return value
}

/** Bytes of the longest form of a sign that takes two units of UTF-16. */
export const longestPair = 12
const surrogates = { first: 0xd800, last: 0xdfff }
/** Hangul is taken apart and put together again, whatever stands beside it. */
const hangul = { first: 0xac00, last: 0xd7a3 }

let longForms: Uint8Array | undefined

/**
 * For each sign of one unit, the bytes of the longest form that it may come in: as it is, or taken apart with each part in its
 * compatibility form. Put together again parts are never longer than apart, but a mark behind a sign may take that sign apart for
 * good. Made once, of what Unicode says: a few milliseconds.
 */
function longFormBytes(): Uint8Array {
  if (longForms) return longForms
  longForms = new Uint8Array(0x10000)
  for (let sign = 0; sign < longForms.length; sign++) {
    const own = sign < 0x80 ? 1 : sign < 0x800 ? 2 : 3
    const isFixed = isBetween(sign, hangul) || (sign >= 0x3400 && sign <= 0x9fff)
    if (isBetween(sign, surrogates)) longForms[sign] = longestPair / 2
    else longForms[sign] = isFixed ? own : Math.max(own, Buffer.byteLength(String.fromCharCode(sign).normalize('NFKD')))
  }
  return longForms
}

function isBetween(sign: number, { first, last }: { first: number; last: number }): boolean {
  return sign >= first && sign <= last
}
