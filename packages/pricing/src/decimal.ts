/**
 * Reads decimal text (`0.075`, `1e-7`, as `String(number)` writes it) as an integer count of 10^-`scale`.
 * @throws RangeError where digits would be lost
 */
export function scaleDecimal(text: string, scale: number): bigint {
  const match = /^(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text)
  if (!match) throw new RangeError(`not a decimal number: ${text}`)
  const [, whole = '', fraction = '', exponent = '0'] = match
  const shift = scale + Number(exponent) - fraction.length
  const digits = BigInt(whole + fraction)
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  const divisor = 10n ** BigInt(-shift)
  if (digits % divisor !== 0n) throw new RangeError(`more digits than can be kept: ${text}`)
  return digits / divisor
}

/**
 * An integer count of 10^-`scale` as decimal text, without trailing zeros: the reverse of {@link scaleDecimal}.
 */
export function decimalText(value: bigint, scale: number): string {
  const sign = value < 0n ? '-' : ''
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return fraction === '' ? `${sign}${whole}` : `${sign}${whole}.${fraction}`
}

/** USD decimal text for `per` units → integer nano-USD per 10⁶ units. @throws RangeError where it is not an exact integer */
export function rateFromUsd(usd: string, per: number): number {
  // 10⁻⁹ USD per 10⁶ units: 15 digits, then divided by the units the price is quoted for. A few guard digits keep
  // prices such as USD 0.27 an hour exact until the division.
  const scaled = scaleDecimal(usd, 15 + guardDigits)
  const divisor = BigInt(per) * 10n ** BigInt(guardDigits)
  if (scaled % divisor !== 0n) throw new RangeError(`USD ${usd} per ${per} is no whole number of nano-USD per million`)
  const rate = scaled / divisor
  if (rate > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`USD ${usd} per ${per} is out of range`)
  return Number(rate)
}
const guardDigits = 9
