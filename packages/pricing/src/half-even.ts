const million = 1_000_000
const millionBig = 1_000_000n
const maxSafe = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * `quantity × rate × numerator / (10⁶ × denominator)`, rounded once, half to even. All arguments are non-negative integers.
 * NaN where the result is no safe integer: the caller must not post it.
 */
export function lineCost(quantity: number, rate: number, numerator: number, denominator: number): number {
  const product = quantity * rate * numerator
  const divisor = million * denominator
  // Below 2^53 a double product is exact, and so are remainder, difference and the division of a multiple.
  if (product > Number.MAX_SAFE_INTEGER || divisor > Number.MAX_SAFE_INTEGER)
    return exactLineCost(quantity, rate, numerator, denominator)
  const remainder = product % divisor
  const floor = (product - remainder) / divisor
  // Compared with what is left instead of doubled: doubling could leave the exact range.
  const rest = divisor - remainder
  if (remainder < rest) return floor
  if (remainder > rest) return floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/** The same by big integers, for products beyond 2^53. */
export function exactLineCost(quantity: number, rate: number, numerator: number, denominator: number): number {
  const product = BigInt(quantity) * BigInt(rate) * BigInt(numerator)
  const divisor = millionBig * BigInt(denominator)
  const remainder = product % divisor
  let result = product / divisor
  const rest = divisor - remainder
  if (remainder > rest || (remainder === rest && result % 2n === 1n)) result += 1n
  return result > maxSafe ? Number.NaN : Number(result)
}
