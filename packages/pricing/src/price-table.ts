import type { QuantityName } from '@sluice/contracts'
import { decimalText } from './decimal.ts'
import { type ModelMatch, matchesModel } from './model-match.ts'
import type { ModelPrices, PriceBook, ProviderPrices, Rates } from './price-book.ts'
import { isTokens } from './resolve-rates.ts'

/** Provider → model → usage key → USD for one unit, as decimal text. */
export type PriceTable = Record<string, Record<string, Record<string, string>>>

/** Usage keys of MeshAgent's price table; quantities not named here keep their own name. */
const usageKeys: Record<string, Partial<Record<QuantityName, string>>> = {
  openai: {
    in_text: 'input_tokens',
    in_cache_read: 'cached_tokens',
    in_cache_write_5m: 'cache_write_tokens',
    out_text: 'output_tokens',
    in_audio: 'audio_input_tokens',
    out_audio: 'audio_output_tokens',
    in_image: 'image_input_tokens',
    out_image: 'image_output_tokens',
    chars_in: 'characters',
  },
  anthropic: {
    in_text: 'input_tokens',
    in_cache_read: 'cache_read_input_tokens',
    in_cache_write_5m: 'cache_creation_input_tokens',
    in_cache_write_1h: 'cache_creation_1h_input_tokens',
    out_text: 'output_tokens',
  },
}

const tiers = ['flex', 'priority']

/**
 * A book as the map that clients read from `GET /pricing`. Long-context rates carry the suffix `_long`, those of a service tier
 * its name; what the provider charges for every model stands with each.
 */
export function priceTable(book: PriceBook): PriceTable {
  const table: PriceTable = {}
  for (const [provider, prices] of Object.entries(book.providers)) {
    const models: Record<string, Record<string, string>> = {}
    for (const model of prices.models) {
      const keys = usageUsd(provider, { ...prices.defaults, ...model.rates })
      for (const tier of tiers) addTier(keys, provider, prices, model, tier)
      for (const name of [model.id, ...exactNames(model.match)]) models[name] ??= keys
    }
    table[provider] = models
  }
  return table
}

/** Rates of a service tier: the first rule that speaks for the model, on tokens alone. */
function addTier(
  keys: Record<string, string>,
  provider: string,
  prices: ProviderPrices,
  model: ModelPrices,
  tier: string,
): void {
  const [name = model.id] = exactNames(model.match)
  const rule = prices.modifiers?.find(
    ({ when, match }) => when.service_tier === tier && (!match || matchesModel(match, name)),
  )
  if (!rule) return
  const [numerator, denominator] = rule.ratio
  for (const [quantity, rate] of Object.entries(model.rates)) {
    if (!isTokens(quantity as QuantityName)) continue
    const product = BigInt(rate.base) * BigInt(numerator)
    // Prices of tiers are whole numbers of nano-USD a million; one that is not is left to the rating.
    if (product % BigInt(denominator) !== 0n) continue
    const key = usageKeys[provider]?.[quantity as QuantityName] ?? quantity
    keys[`${key}_${tier}`] = decimalText(product / BigInt(denominator), 15)
  }
}

function usageUsd(provider: string, rates: Rates): Record<string, string> {
  const keys: Record<string, string> = {}
  for (const [name, rate] of Object.entries(rates)) {
    const key = usageKeys[provider]?.[name as QuantityName] ?? name
    // nano-USD per 10⁶ units is 10⁻¹⁵ USD per unit.
    keys[key] = decimalText(BigInt(rate.base), 15)
    const long = rate.tiers?.at(-1)
    if (long) keys[`${key}_long`] = decimalText(BigInt(long.rate), 15)
  }
  return keys
}

function exactNames(match: ModelMatch): string[] {
  if ('equals' in match) return [match.equals]
  if ('versions_of' in match) return [match.versions_of]
  if ('or' in match) return match.or.flatMap(exactNames)
  return []
}
