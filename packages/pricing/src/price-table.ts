import type { QuantityName } from '@sluice/contracts'
import { decimalText } from './decimal.ts'
import type { ModelMatch } from './model-match.ts'
import type { PriceBook, Rates } from './price-book.ts'

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

/** A book as the map that clients read from `GET /pricing`. Long-context rates carry the suffix `_long`. */
export function priceTable(book: PriceBook): PriceTable {
  const table: PriceTable = {}
  for (const [provider, prices] of Object.entries(book.providers)) {
    const models: Record<string, Record<string, string>> = {}
    for (const model of prices.models) {
      const keys = usageUsd(provider, model.rates)
      for (const name of [model.id, ...exactNames(model.match)]) models[name] ??= keys
    }
    table[provider] = models
  }
  return table
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
  if ('or' in match) return match.or.flatMap(exactNames)
  return []
}
