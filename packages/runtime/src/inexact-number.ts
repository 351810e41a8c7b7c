/** Strings, which may hold anything, and numbers. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*/g

/**
 * The first number of a JSON text that would be read as another than it says, as it is written there: it has more digits than
 * a float. Undefined: each is what it says.
 * @param json can be parsed
 */
export function findInexactNumber(json: string): string | undefined {
  for (const [token] of json.matchAll(tokens))
    if (token[0] !== '"' && !isShort(token) && digitsOf(token) !== digitsOf(String(Number(token)))) return token
  return undefined
}

/** A float holds each number of fifteen digits. */
function isShort(token: string): boolean {
  return token.length <= 15 && !/e/i.test(token)
}

/** The digits of a number and its power of ten, the same however it is written. */
function digitsOf(text: string): string {
  const [, whole = '', fraction = '', power = '0'] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  let end = digits.length
  while (digits[end - 1] === '0') end--
  return end === 0 ? '0' : `${digits.slice(0, end)}e${Number(power) - fraction.length + digits.length - end}`
}
