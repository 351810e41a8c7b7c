import type { Quantities, QuantityName, UsageRecordedData } from '@sluice/contracts'
import { isDatedNameOf } from './dated-name.ts'
import type { PriceBooks } from './price-books.ts'
import { type Rating, rate } from './rate.ts'

/**
 * Rates a recorded attempt again from the event alone, with the books it names. Lines of the event say which quantities
 * belong to another model; what they cost is computed anew.
 */
export function rateRecorded(books: PriceBooks, event: UsageRecordedData): Rating {
  return rate(books, {
    provider: event.provider,
    model: ratedModel(books, event.provider, event.requested_model, event.served_model),
    quantities: event.quantities,
    modifiers: event.modifiers,
    parts: partsOf(event),
    assumeDearest: event.unpriced_policy === 'assume_max',
  })
}

/**
 * The model a call is priced as: the served one where a book knows it, else the requested one. A version that only the
 * catalogue knows does not come before an override's price for the model that was asked for.
 */
export function ratedModel(books: PriceBooks, provider: string, requested: string, served: string | undefined): string {
  if (served === undefined || served === requested) return requested
  const { book, override } = books
  if (override?.find(provider, served)) return served
  if (override?.find(provider, requested) && isDatedNameOf(served, requested)) return requested
  return book.find(provider, served) ? served : requested
}

/** Turns of the model that served are priced as the call is, by whichever of its names that is. */
export function ratedParts(
  parts: readonly { model: string; quantities: Quantities }[] | undefined,
  served: string | undefined,
  rated: string,
): readonly { model: string; quantities: Quantities }[] | undefined {
  if (served === rated) return parts
  return parts?.map(part => (part.model === served ? { ...part, model: rated } : part))
}

function partsOf(event: UsageRecordedData): { model: string; quantities: Quantities }[] | undefined {
  let parts: { model: string; quantities: Quantities; turn: number | undefined }[] | undefined
  for (const item of event.line_items) {
    if (item.model === undefined) continue
    const name = item.quantity_name as QuantityName
    parts ??= []
    let part = parts.at(-1)
    // Lines without a number are older: there a name that comes again begins the model's next turn.
    const isNext = item.turn === undefined ? part?.quantities[name] !== undefined : part?.turn !== item.turn
    if (!part || part.model !== item.model || isNext) {
      part = { model: item.model, quantities: {}, turn: item.turn }
      parts.push(part)
    }
    part.quantities[name] = item.quantity
  }
  return parts
}
