import { type PriceBook, PriceBookError, readPriceFile } from '@sluice/pricing'
import { errorOf } from '@sluice/runtime'
import { billingErrors } from './errors.ts'

/** Farther ahead nobody knows a price. */
const maxAheadMs = 2 * 366 * 24 * 60 * 60 * 1000

/** Reads a price file of a request. @throws AppError 400 naming the place */
export function readPrices(file: unknown): PriceBook {
  try {
    return readPriceFile(file)
  } catch (error) {
    if (error instanceof PriceBookError) throw errorOf(billingErrors.priceBookInvalid, { message: error.message })
    throw error
  }
}

/** From when prices shall hold; absent: now. @throws AppError 400 where it has passed, or is more than two years ahead */
export function readEffectiveAt(text: string | undefined, nowMs: number): number {
  if (text === undefined) return nowMs
  const instant = /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(instant))
    throw errorOf(billingErrors.priceBookInvalid, {
      message: 'effective_at: not a time such as "2026-12-01T00:00:00Z"',
    })
  if (instant < nowMs)
    throw errorOf(billingErrors.priceBookInvalid, {
      message: 'effective_at: has passed. Calls of the past keep their prices; leave it out for now.',
    })
  if (instant > nowMs + maxAheadMs)
    throw errorOf(billingErrors.priceBookInvalid, { message: 'effective_at: more than two years ahead' })
  return instant
}
