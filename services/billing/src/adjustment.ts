import type { Quantities, UsageAdjustedData, UsageRecordedData } from '@sluice/contracts'
import { type CompiledPriceBook, rateRecorded } from '@sluice/pricing'

/** What an operator wants of one event: other quantities, another price book, or both. Never a bare amount of money. */
export interface Correction {
  eventId: string
  projectId: string
  quantities?: Quantities
  priceBookId?: string
  reason: string
  /** Who corrects. */
  actor: string
}

/** The totals of an event, as recorded or as its newest correction left them. */
export type Totals = Pick<
  UsageAdjustedData,
  'quantities' | 'line_items' | 'cost_nano_usd' | 'price_book_id' | 'version'
>

export type CorrectedTotals = { totals: Totals } | { refused: 'unknown-price-book' | 'no-rate' | 'nothing-changes' }

export function totalsOf(event: UsageRecordedData): Totals {
  const { quantities, line_items, cost_nano_usd, price_book_id } = event
  return { quantities, line_items, cost_nano_usd, price_book_id, version: 0 }
}

/**
 * The totals after a correction: rated again by the book that is named, else by the books of the event. Pure. Quantities
 * that are given stand for the whole event, as the model it was served by.
 */
export function correct(
  event: UsageRecordedData,
  current: Totals,
  correction: Pick<Correction, 'quantities' | 'priceBookId'>,
  findBook: (priceBookId: string) => CompiledPriceBook | undefined,
): CorrectedTotals {
  const bookId = correction.priceBookId ?? current.price_book_id
  const book = findBook(bookId)
  // A book that is named replaces the project's own as well: it is what the operator says counts.
  const overrideId = correction.priceBookId === undefined ? event.override_price_book_id : undefined
  const override = overrideId === undefined ? undefined : findBook(overrideId)
  if (!book || (overrideId !== undefined && !override)) return { refused: 'unknown-price-book' }
  const quantities = correction.quantities ?? current.quantities
  const lines = correction.quantities === undefined ? current.line_items : []
  const rated = rateRecorded({ book, override }, { ...event, quantities, line_items: lines })
  if (!rated.priced) return { refused: 'no-rate' }
  const isSame =
    rated.cost_nano_usd === current.cost_nano_usd &&
    bookId === current.price_book_id &&
    writeSorted(quantities) === writeSorted(current.quantities)
  if (isSame) return { refused: 'nothing-changes' }
  return {
    totals: {
      quantities,
      line_items: rated.line_items,
      cost_nano_usd: rated.cost_nano_usd,
      price_book_id: bookId,
      version: current.version + 1,
    },
  }
}

function writeSorted(quantities: Quantities): string {
  return JSON.stringify(Object.entries(quantities).sort(([a], [b]) => (a < b ? -1 : 1)))
}
