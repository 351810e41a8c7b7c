import type { UsageRecordedData } from '@sluice/contracts'
import { type CompiledPriceBook, rateRecorded } from '@sluice/pricing'

/** Why a stamped cost is not confirmed. */
export const differenceReasons = ['unknown_price_book', 'different_cost', 'lines_do_not_add_up'] as const

export interface RatingDifference {
  eventId: string
  projectId: string
  priceBookId: string
  overridePriceBookId: string | undefined
  reason: (typeof differenceReasons)[number]
  stamped: number
  recomputed: number | undefined
}

/**
 * Rates an event again with the books it names and compares. The stamped cost is what is posted in any case, since budgets
 * and analytics count the same event: a difference is recorded and alarmed, and put right by an adjustment that all three see.
 */
export function checkRating(
  event: UsageRecordedData,
  findBook: (priceBookId: string) => CompiledPriceBook | undefined,
): RatingDifference | undefined {
  const overrideId = event.override_price_book_id
  const difference = (reason: RatingDifference['reason'], recomputed?: number): RatingDifference => ({
    eventId: event.event_id,
    projectId: event.identity.project_id,
    priceBookId: event.price_book_id,
    overridePriceBookId: overrideId,
    reason,
    stamped: event.cost_nano_usd,
    recomputed,
  })
  let sum = 0n
  for (const line of event.line_items) sum += BigInt(line.cost_nano_usd)
  if (sum !== BigInt(event.cost_nano_usd)) return difference('lines_do_not_add_up')
  const book = findBook(event.price_book_id)
  const override = overrideId === undefined ? undefined : findBook(overrideId)
  if (!book || (overrideId !== undefined && !override)) return difference('unknown_price_book')
  const recomputed = rateRecorded({ book, override }, event).cost_nano_usd
  return recomputed === event.cost_nano_usd ? undefined : difference('different_cost', recomputed)
}
