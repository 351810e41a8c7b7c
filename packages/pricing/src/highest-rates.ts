import type { QuantityName, UsageModifiers } from '@sluice/contracts'
import { findDearest, findRate, resolveBooks } from './find-rate.ts'
import type { PriceBooks } from './price-books.ts'
import type { ResolvedRate } from './resolve-rates.ts'

/** What a use can cost at most before it is known how it will be served. */
export interface HighestRates {
  /** Numbers of input tokens above which another rate may hold, ascending. */
  readonly thresholds: readonly number[]
  /**
   * Nano-USD per 10⁶ units with the modifiers' ratio in it, rounded up: the highest among all ways of serving and all tiers
   * that so much input may reach. Zero where nothing has a price, as in the rating.
   */
  of(name: QuantityName, inputTokens: number): number
}

/** @param modifiers every way in which the provider may serve the use */
export function findHighestRates(
  books: PriceBooks,
  use: { provider: string; model: string; modifiers: readonly UsageModifiers[]; assumeDearest?: boolean },
): HighestRates {
  const { provider, model, assumeDearest = false } = use
  const ways = use.modifiers.map(modifiers => {
    const { base, first } = resolveBooks(books, { provider, modifiers, assumeDearest }, model)
    return (name: QuantityName): ResolvedRate | undefined =>
      findRate(first, base, name) ??
      (assumeDearest ? findDearest(books, { provider, modifiers, assumeDearest }, name)?.rate : undefined)
  })
  const thresholds = new Set<number>()
  for (const way of ways)
    for (const name of tieredNames) for (const tier of way(name)?.tiers ?? []) thresholds.add(tier.above_input_tokens)
  return {
    thresholds: [...thresholds].sort((a, b) => a - b),
    of: (name, inputTokens) => Math.max(0, ...ways.map(way => highestOf(way(name), inputTokens))),
  }
}

const tieredNames: readonly QuantityName[] = [
  'in_text',
  'in_audio',
  'in_image',
  'in_cache_read',
  'in_cache_read_audio',
  'in_cache_read_image',
  'in_cache_write_5m',
  'in_cache_write_1h',
  'in_cache_write_other',
  'out_text',
  'out_audio',
  'out_image',
]

function highestOf(rate: ResolvedRate | undefined, inputTokens: number): number {
  if (!rate) return 0
  let highest = rate.base
  for (const tier of rate.tiers) if (inputTokens > tier.above_input_tokens && tier.rate > highest) highest = tier.rate
  const scaled = BigInt(highest) * BigInt(rate.numerator)
  const denominator = BigInt(rate.denominator)
  return Number((scaled + denominator - 1n) / denominator)
}
