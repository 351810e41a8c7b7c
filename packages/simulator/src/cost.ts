import { type SimPrice, type TokenRates, WEB_SEARCH_NANO_USD } from './prices.ts'

/** What one call used, in the simulator's own words. The input parts are disjoint; thinking is inside the output. */
export interface Metered {
  readonly input_fresh: number
  readonly input_from_cache: number
  readonly input_to_cache_5m: number
  readonly input_to_cache_1h: number
  readonly output: number
  readonly output_thinking: number
  readonly web_searches: number
}

export const NOTHING_METERED: Metered = {
  input_fresh: 0,
  input_from_cache: 0,
  input_to_cache_5m: 0,
  input_to_cache_1h: 0,
  output: 0,
  output_thinking: 0,
  web_searches: 0,
}

export interface BillLine {
  /** A member of `Metered`, or of what a socket's turn used. */
  readonly item: string
  readonly units: number
  readonly nano_usd: number
}

export interface Rating {
  readonly tier: string
  readonly geo: string | null
}

/** The lines of a bill; each is rounded once, half to even, and the cost is their sum. */
export function priceLines(price: SimPrice, metered: Metered, rating: Rating): BillLine[] {
  const rates = chooseRates(price, metered, rating.tier)
  // A batch pays half of every token rate, cache rates included; a search costs what it costs.
  const share = rating.tier === 'batch' ? 2 : 1
  const premium = price.usInferencePremium === true && rating.geo === 'us'
  const lines: BillLine[] = []
  const add = (item: keyof Metered, rate: number) => {
    const units = metered[item]
    if (units === 0) return
    lines.push({
      item,
      units,
      nano_usd: premium
        ? divideHalfEven(units * rate * 11, 10_000 * share)
        : divideHalfEven(units * rate, 1_000 * share),
    })
  }
  add('input_fresh', rates.input)
  add('input_from_cache', rates.cacheRead)
  add('input_to_cache_5m', rates.cacheWrite5m)
  add('input_to_cache_1h', rates.cacheWrite1h)
  add('output', rates.output)
  if (metered.web_searches > 0) {
    lines.push({
      item: 'web_searches',
      units: metered.web_searches,
      nano_usd: metered.web_searches * WEB_SEARCH_NANO_USD,
    })
  }
  return lines
}

function chooseRates(price: SimPrice, metered: Metered, tier: string): TokenRates {
  const ofTier = price.tiers?.[tier]
  if (ofTier !== undefined) return ofTier
  const input = metered.input_fresh + metered.input_from_cache + metered.input_to_cache_5m + metered.input_to_cache_1h
  return price.long !== undefined && input >= price.long.fromInputTokens ? price.long.rates : price.rates
}

/** Integer division rounding half to even; both arguments are safe non-negative integers. */
export function divideHalfEven(amount: number, divisor: number): number {
  if (!Number.isSafeInteger(amount)) throw new RangeError('The amount is too large to be priced exactly.')
  const remainder = amount % divisor
  const quotient = (amount - remainder) / divisor
  const twice = remainder * 2
  if (twice < divisor || (twice === divisor && quotient % 2 === 0)) return quotient
  return quotient + 1
}
