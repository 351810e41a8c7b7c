/** nano-USD as decimal USD text, exact, without trailing zeros: 12_500_000 → `0.0125`. */
export function formatUsd(nanoUsd: number): string {
  const negative = nanoUsd < 0
  const digits = String(Math.abs(nanoUsd)).padStart(10, '0')
  const whole = digits.slice(0, -9)
  const fraction = digits.slice(-9).replace(/0+$/, '')
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

/** An amount in a budget's unit: USD as decimal text, everything else as a count. */
export function formatAmount(amount: number, unit: string): string {
  return unit === 'usd' ? formatUsd(amount) : String(amount)
}
