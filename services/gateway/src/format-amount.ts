/** nano-USD as decimal USD text, exact, without trailing zeros: 12_500_000 → `0.0125`. */
export function formatUsd(nanoUsd: number): string {
  const digits = String(Math.abs(nanoUsd)).padStart(10, '0')
  const point = digits.length - 9
  let end = digits.length
  while (end > point && digits.charCodeAt(end - 1) === zero) end--
  const amount = end === point ? digits.slice(0, point) : `${digits.slice(0, point)}.${digits.slice(point, end)}`
  return nanoUsd < 0 ? `-${amount}` : amount
}

const zero = 0x30

/** An amount in a budget's unit: USD as decimal text, everything else as a count. */
export function formatAmount(amount: number, unit: string): string {
  return unit === 'usd' ? formatUsd(amount) : String(amount)
}
