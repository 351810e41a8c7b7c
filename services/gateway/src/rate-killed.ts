import { rate, ratedModel } from '@sluice/pricing'
import type { DraftRating, UnratedDraft } from './journal/journal.ts'
import type { PricesView } from './views/prices-view.ts'

/** Rates the attempt of a gateway that died, at the books it was admitted with. A book that is gone leaves it unpriced. */
export function rateKilled(prices: PricesView, draft: UnratedDraft): DraftRating {
  const book = prices.find(draft.price_book_id)
  if (!book) return { line_items: [], cost_nano_usd: 0, priced: false }
  const override = draft.override_price_book_id === undefined ? undefined : prices.find(draft.override_price_book_id)
  const books = { book, override }
  const { line_items, cost_nano_usd, priced } = rate(books, {
    provider: draft.provider,
    model: ratedModel(books, draft.provider, draft.requested_model, draft.served_model),
    quantities: draft.quantities,
    modifiers: draft.modifiers,
  })
  return { line_items, cost_nano_usd, priced }
}
