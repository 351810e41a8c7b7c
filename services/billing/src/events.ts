import type { Logger } from '@sluice/runtime'
import { counter } from '@sluice/telemetry'

const events = counter('sluice_billing_events_total', 'Usage events posted to the ledger')
const deadLetters = counter('sluice_billing_dead_letters_total', 'Usage that could not be applied', ['reason'])
const differences = counter(
  'sluice_billing_rating_differences_total',
  'Events whose stamped cost billing cannot confirm',
  ['reason'],
)
const duplicates = counter(
  'sluice_billing_duplicate_settlements_total',
  'Events whose settlement key was posted before',
)
const published = counter('sluice_billing_price_books_published_total', 'Price books published')

/** Each thing that happened in a batch, counted and logged once it is committed. */
export function batchPosted(
  log: Logger,
  posted: {
    events: number
    duplicates: number
    deadLetters: readonly { reason: string }[]
    differences: readonly { reason: string; eventId: string; projectId: string }[]
  },
): void {
  events.inc(posted.events)
  duplicates.inc(posted.duplicates)
  for (const letter of posted.deadLetters) {
    deadLetters.inc({ reason: letter.reason.split(':')[0] ?? '' })
    log.error({ reason: letter.reason }, 'usage not applied, kept as dead letter')
  }
  for (const difference of posted.differences) {
    differences.inc({ reason: difference.reason })
    log.error({ ...difference }, 'stamped cost not confirmed')
  }
}

export function priceBookPublished(log: Logger, priceBookId: string): void {
  published.inc()
  log.info({ priceBookId }, 'price book published')
}
