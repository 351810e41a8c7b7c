import { type QuantityName, quantityNames } from '@sluice/contracts'
import { CompiledModel } from './compiled-model.ts'
import type { ProviderPrices, Rate, Rates } from './price-book.ts'
import { rateOfOther } from './resolve-rates.ts'

/** The highest rate of a provider for each quantity, as if one model had them all. */
export interface DearestRates {
  model: CompiledModel
  /** Whose rate it is. */
  from: Partial<Record<QuantityName, string>>
}

/** Looks through every model, with its variants, its tiers, and what it is billed as where it has no rate of its own. */
export function findDearestRates(prices: ProviderPrices): DearestRates {
  const rates: Rates = {}
  const from: DearestRates['from'] = {}
  for (const model of prices.models)
    for (const variant of [{ rates: {} }, ...(model.variants ?? [])]) {
      const own = { ...prices.defaults, ...model.rates, ...variant.rates }
      for (const name of quantityNames) {
        const highest = highestOf(own[name] ?? rateOfOther(own, name))
        if (highest === undefined || highest <= (rates[name]?.base ?? -1)) continue
        rates[name] = { base: highest }
        from[name] = model.id
      }
    }
  return { model: new CompiledModel({ id: '', match: { or: [] }, rates }, { ...prices, defaults: {} }, ''), from }
}

function highestOf(rate: Rate | undefined): number | undefined {
  return rate && Math.max(rate.base, ...(rate.tiers ?? []).map(tier => tier.rate))
}
