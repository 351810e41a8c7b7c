import { CompiledModel } from './compiled-model.ts'
import { type DearestRates, findDearestRates } from './dearest-rates.ts'
import { matchesModel } from './model-match.ts'
import { type PriceBook, priceBookId } from './price-book.ts'

/** A book made fast to ask: one look-up per call once a model has been seen. */
export interface CompiledPriceBook {
  readonly id: string
  /** It has no price at all. */
  readonly isEmpty: boolean
  /** The entry that speaks for this model; undefined: the book has no price for it. */
  find(provider: string, model: string): CompiledModel | undefined
  /** What is assumed of a model without a price: the highest rate the provider has for each quantity. */
  findDearest(provider: string): DearestRates | undefined
  /** Ids of the provider's models, in the book's order. */
  listModels(provider: string): string[]
}

/** Prepares a book for {@link rate}. The book must not change afterwards. */
export function compilePriceBook(book: PriceBook, id: string = priceBookId(book)): CompiledPriceBook {
  const caches = new Map<string, Map<string, CompiledModel | undefined>>()
  for (const provider of Object.keys(book.providers)) caches.set(provider, new Map())
  const dearest = new Map<string, DearestRates>()
  return {
    id,
    isEmpty: caches.size === 0,
    listModels: provider => (book.providers[provider]?.models ?? []).map(model => model.id),
    find(provider, model) {
      const cache = caches.get(provider)
      if (!cache) return undefined
      const known = cache.get(model)
      if (known || cache.has(model)) return known
      const prices = book.providers[provider]
      const entry = prices?.models.find(candidate => matchesModel(candidate.match, model))
      const compiled = entry && prices ? new CompiledModel(entry, prices, model) : undefined
      // Model names come from clients.
      if (cache.size >= 4096) cache.clear()
      cache.set(model, compiled)
      return compiled
    },
    findDearest(provider) {
      const prices = caches.has(provider) ? book.providers[provider] : undefined
      if (!prices) return undefined
      let rates = dearest.get(provider)
      if (!rates) {
        rates = findDearestRates(prices)
        dearest.set(provider, rates)
      }
      return rates
    },
  }
}
