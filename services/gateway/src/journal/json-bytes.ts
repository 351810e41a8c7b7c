/* JSON written as bytes, where a text would be put together from many small pieces only to be written. */

const quote = 0x22
const backslash = 0x5c
const zero = 0x30
const billion = 1_000_000_000

/** The most bytes of a number. */
export const mostNumberBytes = 25

/** Writes a number as `JSON.stringify` does. @returns where it ends */
export function writeNumber(buffer: Buffer, at: number, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    return at + buffer.write(Number.isFinite(value) ? String(value) : 'null', at, 'latin1')
  if (value < billion) return writeDigits(buffer, at, value)
  // Digits of small integers are told without a division of floats.
  const high = Math.floor(value / billion)
  // Its digits, too: the remainder of a float costs ten times that of a small integer.
  let low = (value - high * billion) | 0
  const start = writeDigits(buffer, at, high)
  for (let place = start + 8; place >= start; place--) {
    buffer[place] = zero + (low % 10)
    low = (low / 10) | 0
  }
  return start + 9
}

/** @param value below 10⁹ */
function writeDigits(buffer: Buffer, at: number, value: number): number {
  let end = at + 1
  for (let rest = value; rest >= 10; rest = (rest / 10) | 0) end++
  let rest = value | 0
  for (let place = end - 1; place >= at; place--) {
    buffer[place] = zero + (rest % 10)
    rest = (rest / 10) | 0
  }
  return end
}

/** The most bytes of a text. */
export function mostTextBytes(text: string): number {
  return 2 + text.length * 6
}

/** Writes a text in its quotes: a short one of plain letters, nearly always. @returns where it ends */
export function writeText(buffer: Buffer, at: number, text: string): number {
  let end = at
  buffer[end++] = quote
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === quote || code === backslash)
      return at + buffer.write(JSON.stringify(text), at, 'utf8')
    buffer[end++] = code
  }
  buffer[end++] = quote
  return end
}
