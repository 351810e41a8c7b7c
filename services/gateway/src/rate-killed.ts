import { rate, ratedModel, ratedParts } from '@sluice/pricing'
import type { DraftRating, ModelPart, UnratedDraft } from './journal/journal.ts'
import type { PricesView } from './views/prices-view.ts'

/**
 * Rates the attempt of a gateway that died, at the books it was admitted with. A book that was never published, or is gone,
 * leaves it unpriced. @throws Error where a book is published and not here yet: the journal tries again
 */
export function rateKilled(
  prices: PricesView,
  draft: UnratedDraft,
  parts?: readonly ModelPart[] | undefined,
): DraftRating {
  const book = prices.find(draft.price_book_id)
  for (const id of [draft.price_book_id, draft.override_price_book_id])
    if (id !== undefined && !prices.find(id) && prices.isPublished(id))
      throw new Error(`price book ${id} is not loaded yet`)
  if (!book) return { line_items: [], cost_nano_usd: 0, priced: false }
  const override = draft.override_price_book_id === undefined ? undefined : prices.find(draft.override_price_book_id)
  const books = { book, override }
  const model = ratedModel(books, draft.provider, draft.requested_model, draft.served_model)
  const { line_items, cost_nano_usd, priced, assumed } = rate(books, {
    provider: draft.provider,
    model,
    quantities: draft.quantities,
    modifiers: draft.modifiers,
    parts: ratedParts(parts, draft.served_model, model),
    assumeDearest: draft.unpriced_policy === 'assume_max',
  })
  return { line_items, cost_nano_usd, priced, ...(assumed && { assumed }) }
}
