import type { QuantityName, UsageModifiers } from '@sluice/contracts'
import type { PriceBooks } from './price-books.ts'
import type { ResolvedRate, ResolvedRates } from './resolve-rates.ts'

/** Whose prices, and under which modifiers. */
export interface PricedUse {
  provider: string
  modifiers: UsageModifiers
  /** What has no rate costs what the provider's dearest model takes for it. */
  assumeDearest?: boolean | undefined
}

const nothing: readonly string[] = []
const noRates: ResolvedRates = { rates: {}, billedAs: {}, unknownModifiers: nothing, assumedRules: nothing }

/** An override's rules hold where it knows the model, else the catalogue's. */
export function resolveBooks(
  books: PriceBooks,
  usage: PricedUse,
  model: string,
): { base: ResolvedRates; first: ResolvedRates; rules: ResolvedRates } {
  const { provider, modifiers, assumeDearest = false } = usage
  const catalogue = books.book.find(provider, model)
  const overriding = books.override?.find(provider, model)
  const base = catalogue ? catalogue.resolve(modifiers, undefined, assumeDearest) : noRates
  const first = overriding ? overriding.resolve(modifiers, catalogue, assumeDearest) : noRates
  return { base, first, rules: overriding ? first : base }
}

/** An own rate before one that only stands in, an override's before the catalogue's. */
export function findRate(first: ResolvedRates, base: ResolvedRates, name: QuantityName): ResolvedRate | undefined {
  return first.rates[name] ?? base.rates[name] ?? first.billedAs[name] ?? base.billedAs[name]
}

/** The highest rate that any model of the provider has for it. */
export function findDearest(
  books: PriceBooks,
  usage: PricedUse,
  name: QuantityName,
): { rate: ResolvedRate; from: string } | undefined {
  let found: { rate: ResolvedRate; from: string } | undefined
  for (const book of [books.override, books.book]) {
    const dearest = book?.findDearest(usage.provider)
    const resolved = dearest?.model.resolve(usage.modifiers, books.book.findDearest(usage.provider)?.model, true)
    const rate = resolved?.rates[name]
    const from = dearest?.from[name]
    if (rate && from !== undefined && (!found || rate.base > found.rate.base))
      found = { rate, from: [from, ...(resolved?.assumedRules ?? [])].join(', ') }
  }
  return found
}
