import { CONTAINER_GB_MINUTE_NANO_USD, FILE_SEARCH_NANO_USD, type SimPrice, type TokenRates } from './prices.ts'

/** What tools used that run at the provider. */
export interface ToolsUsed {
  readonly web_searches: number
  readonly file_searches: number
  /** Minutes that containers lived, times their memory. */
  readonly container_gb_minutes: number
}

export const NO_TOOLS: ToolsUsed = { web_searches: 0, file_searches: 0, container_gb_minutes: 0 }

/** What one call used, in the simulator's own words. The input parts are disjoint; thinking is inside the output. */
export interface Metered extends ToolsUsed {
  readonly input_fresh: number
  readonly input_from_cache: number
  readonly input_to_cache_5m: number
  readonly input_to_cache_1h: number
  readonly output: number
  readonly output_thinking: number
  /** Sound that was sent, and sound that was made: in none of the above. */
  readonly audio_input: number
  readonly audio_output: number
}

export const NOTHING_METERED: Metered = {
  input_fresh: 0,
  input_from_cache: 0,
  input_to_cache_5m: 0,
  input_to_cache_1h: 0,
  output: 0,
  output_thinking: 0,
  audio_input: 0,
  audio_output: 0,
  ...NO_TOOLS,
}

export interface BillLine {
  /** A member of `Metered`, or of what a socket's turn used. */
  readonly item: string
  readonly units: number
  readonly nano_usd: number
  /** Whose turn it is, where that stands beside the answer. */
  readonly model?: string
}

export interface Rating {
  readonly tier: string
  readonly geo: string | null
  readonly speed?: string | null
  /** Searches are those of the tool's preview. */
  readonly searchesPreview?: boolean
}

/** The lines of a bill; each is rounded once, half to even, and the cost is their sum. */
export function priceLines(price: SimPrice, metered: Metered, rating: Rating): BillLine[] {
  const rates = chooseRates(price, metered, rating)
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
  if (price.sound !== undefined) {
    add('audio_input', price.sound.input)
    add('audio_output', price.sound.output)
  }
  const addEach = (item: keyof ToolsUsed, nanoUsd: number) => {
    const units = metered[item]
    if (units > 0) lines.push({ item, units, nano_usd: units * nanoUsd })
  }
  addEach('web_searches', rating.searchesPreview === true ? price.search.preview : price.search.plain)
  addEach('file_searches', FILE_SEARCH_NANO_USD)
  addEach('container_gb_minutes', CONTAINER_GB_MINUTE_NANO_USD)
  return lines
}

function chooseRates(price: SimPrice, metered: Metered, { tier, speed }: Rating): TokenRates {
  if (speed === 'fast' && price.fast !== undefined) return price.fast
  const input = metered.input_fresh + metered.input_from_cache + metered.input_to_cache_5m + metered.input_to_cache_1h
  const isLong = price.long !== undefined && input >= price.long.fromInputTokens
  return (isLong ? price.long?.tiers : price.tiers)?.[tier] ?? (isLong ? price.long?.rates : undefined) ?? price.rates
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
