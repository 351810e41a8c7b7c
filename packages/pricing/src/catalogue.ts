import { findProvider } from '@pydantic/genai-prices'
import type { QuantityName } from '@sluice/contracts'
import { rateFromUsd } from './decimal.ts'
import { type ModelMatch, matchesModel } from './model-match.ts'
import type { ModelPrices, ModifierRule, PriceBook, ProviderPrices, Rate, Rates } from './price-book.ts'
import { type Supplement, supplement, type UsdPrice } from './supplement.ts'

/** The catalogue's price keys, as quantities, and the units each is quoted for. */
const priceKeys: Record<string, { quantity: QuantityName; per: number }> = {
  input_mtok: { quantity: 'in_text', per: 1_000_000 },
  output_mtok: { quantity: 'out_text', per: 1_000_000 },
  cache_read_mtok: { quantity: 'in_cache_read', per: 1_000_000 },
  cache_write_mtok: { quantity: 'in_cache_write_5m', per: 1_000_000 },
  cache_write_1h_mtok: { quantity: 'in_cache_write_1h', per: 1_000_000 },
  input_audio_mtok: { quantity: 'in_audio', per: 1_000_000 },
  output_audio_mtok: { quantity: 'out_audio', per: 1_000_000 },
  cache_audio_read_mtok: { quantity: 'in_cache_read_audio', per: 1_000_000 },
  input_image_mtok: { quantity: 'in_image', per: 1_000_000 },
  output_image_mtok: { quantity: 'out_image', per: 1_000_000 },
  cache_image_read_mtok: { quantity: 'in_cache_read_image', per: 1_000_000 },
  web_searches_kcount: { quantity: 'web_search_calls', per: 1000 },
  storage_searches_kcount: { quantity: 'file_search_calls', per: 1000 },
  audio_hours: { quantity: 'audio_ms_in', per: 3_600_000 },
  input_audio_hours: { quantity: 'audio_ms_in', per: 3_600_000 },
}

/** The catalogue and the supplement as one book. `skipped` names every price that this code has no quantity for. */
export interface CatalogueImport {
  book: PriceBook
  skipped: string[]
}

/**
 * Builds the book that holds at `atMs`. Prices are read from the decimal text of each number, so no digit is lost.
 * Providers without an entry in the catalogue get what the supplement has for them.
 */
export function importCatalogue(options: {
  atMs: number
  providers?: readonly string[]
  supplement?: Supplement
}): CatalogueImport {
  const rows = options.supplement ?? supplement
  const skipped: string[] = []
  const book: PriceBook = { format: 1, providers: {} }
  for (const id of options.providers ?? catalogueProviders) {
    const models: ModelPrices[] = []
    // The supplement speaks first: its rows are for models that the catalogue lacks or has wrong.
    for (const row of rows.models.filter(model => model.provider === id))
      models.push({
        id: row.id,
        match: row.match,
        rates: ratesFromUsd(row.rates),
        ...(row.variants && {
          variants: row.variants.map(variant => ({ when: variant.when, rates: ratesFromUsd(variant.rates) })),
        }),
        source: `${row.source} (${row.date})`,
      })
    for (const model of findProvider({ providerId: id })?.models ?? []) {
      const prices = pricesAt(model.prices, options.atMs)
      if (!prices) continue
      const additions = rows.additions.filter(row => row.provider === id && matchesModel(row.match, model.id))
      const variants = additions.flatMap(({ when, rates }) => (when ? [{ when, rates: ratesFromUsd(rates) }] : []))
      models.push({
        id: model.id,
        match: model.match as ModelMatch,
        rates: Object.assign(
          importRates(prices, `${id}/${model.id}`, skipped),
          ...additions.map(({ when, rates }) => (when ? {} : ratesFromUsd(rates))),
        ),
        ...(variants.length > 0 && { variants }),
      })
    }
    const provider: ProviderPrices = { models }
    const defaults = rows.defaults.filter(row => row.provider === id && holdsAt(row, options.atMs))
    if (defaults.length > 0)
      provider.defaults = Object.fromEntries(
        defaults.map(row => [row.quantity, { base: rateFromUsd(row.price.usd, row.price.per) }]),
      )
    const modifiers = rows.modifiers.filter(row => row.provider === id)
    if (modifiers.length > 0)
      provider.modifiers = modifiers.map(
        (row): ModifierRule => ({
          id: row.id,
          when: row.when,
          ...(row.match && { match: row.match }),
          ratio: row.ratio,
          source: `${row.source} (${row.date})`,
        }),
      )
    book.providers[id] = provider
  }
  return { book, skipped }
}

/** Later instants at which the catalogue has another price for one of these providers, ascending. */
export function catalogueChanges(options: { afterMs: number; providers?: readonly string[] }): number[] {
  const days = supplement.defaults.flatMap(({ from, until }) => [from ?? [], until ?? []].flat())
  const instants = new Set(days.map(day => Date.parse(day)))
  for (const id of options.providers ?? catalogueProviders)
    for (const model of findProvider({ providerId: id })?.models ?? [])
      if (Array.isArray(model.prices))
        for (const { constraint } of model.prices as { constraint?: { start_date?: string } }[])
          if (constraint?.start_date !== undefined) instants.add(Date.parse(constraint.start_date))
  return [...instants].filter(instant => instant > options.afterMs).sort((a, b) => a - b)
}

function holdsAt({ from, until }: { from?: string; until?: string }, atMs: number): boolean {
  return (from === undefined || Date.parse(from) <= atMs) && (until === undefined || atMs < Date.parse(until))
}

const catalogueProviders = ['openai', 'anthropic'] as const

type CataloguePrices = Record<string, unknown>

/** The catalogue lists changes oldest first; the last that has begun holds. Prices by time of day are not imported. */
function pricesAt(prices: unknown, atMs: number): CataloguePrices | undefined {
  if (!Array.isArray(prices)) return prices as CataloguePrices
  let chosen: CataloguePrices | undefined
  for (const { constraint, prices: candidate } of prices as {
    constraint?: { type: string; start_date?: string }
    prices: CataloguePrices
  }[]) {
    const begins = constraint === undefined ? 0 : constraint.start_date ? Date.parse(constraint.start_date) : Infinity
    if (begins <= atMs) chosen = candidate
  }
  return chosen
}

function importRates(prices: CataloguePrices, at: string, skipped: string[]): Rates {
  const rates: Rates = {}
  for (const [key, value] of Object.entries(prices)) {
    if (value === undefined) continue
    const known = priceKeys[key]
    if (!known) {
      skipped.push(`${at}: ${key}`)
      continue
    }
    rates[known.quantity] = importRate(value, known.per)
  }
  return rates
}

function importRate(value: unknown, per: number): Rate {
  if (typeof value === 'number') return { base: rateFromUsd(String(value), per) }
  const { base, tiers } = value as { base: number; tiers: { start: number; price: number }[] }
  return {
    base: rateFromUsd(String(base), per),
    tiers: tiers
      .map(tier => ({ above_input_tokens: tier.start, rate: rateFromUsd(String(tier.price), per) }))
      .sort((a, b) => a.above_input_tokens - b.above_input_tokens),
  }
}

function ratesFromUsd(prices: Partial<Record<QuantityName, UsdPrice>>): Rates {
  return Object.fromEntries(
    Object.entries(prices).map(([name, price]) => [name, { base: rateFromUsd(price.usd, price.per) }]),
  )
}
