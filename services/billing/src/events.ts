import type { UsageAdjustedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter, gauge } from '@sluice/telemetry'
import type { SilentEpoch } from './completeness.ts'
import { differenceReasons } from './rate-usage.ts'
import { type Reconciliation, reconciledPlaces } from './reconciliation.ts'

const events = counter('sluice_billing_events_total', 'Usage events posted to the ledger')
const deadLetters = counter('sluice_billing_dead_letters_total', 'Usage that could not be applied', ['reason'])
const differences = counter(
  'sluice_billing_rating_differences_total',
  'Events whose stamped cost billing cannot confirm',
  ['reason'],
)
// Shown from the start: a counter that begins above zero rings no alarm.
for (const reason of differenceReasons) differences.inc({ reason }, 0)
const duplicates = counter(
  'sluice_billing_duplicate_settlements_total',
  'Events whose settlement key was posted before',
)
const late = counter('sluice_billing_late_events_total', 'Events posted more than 35 days after their admission')
const published = counter('sluice_billing_price_books_published_total', 'Price books published')
const adjusted = counter('sluice_billing_adjustments_total', 'Corrections posted to the ledger')
const archived = counter('sluice_billing_archived_days_total', 'Posting days brought into the archive')
const archiveFailures = counter('sluice_billing_archive_failures_total', 'Runs of the archiver that failed')
const archiveProblems = gauge('sluice_billing_archive_problems', 'What the last look through the archive found wrong')
const streamFull = gauge('sluice_billing_stream_full_per_mille', 'Bytes of stream USAGE, in thousandths of its limit')
const purges = counter('sluice_billing_stream_purges_total', 'Times acknowledged messages were deleted to make room')
const reconciledHours = gauge(
  'sluice_billing_reconciliation_differences',
  'Projects and hours of the last two days whose sum differs from the ledger',
  { labelNames: ['place'] },
)
const silence = gauge(
  'sluice_billing_longest_silence_seconds',
  'For how long the first of the silent gateways has been so; 0: none is',
)
const silentEvents = gauge(
  'sluice_billing_silent_unposted_events',
  'Events that silent gateways are known to have numbered, and that are not posted',
)
const silentCalls = gauge(
  'sluice_billing_silent_open_calls',
  'Calls that had no event when silent gateways were last heard of',
)
const silentAmount = gauge('sluice_billing_silent_open_nano_usd', 'What these calls were estimated at')
const unanswered = gauge('sluice_billing_reconciliation_unanswered', 'Places that did not say what they have counted')

/** Each thing that happened in a batch, counted and logged once it is committed. */
export function batchPosted(
  log: Logger,
  posted: {
    events: number
    duplicates: number
    late: number
    deadLetters: readonly { reason: string }[]
    differences: readonly { reason: string; eventId: string; projectId: string }[]
  },
): void {
  events.inc(posted.events)
  duplicates.inc(posted.duplicates)
  late.inc(posted.late)
  if (posted.late > 0) log.warn({ events: posted.late }, 'usage posted more than 35 days after its admission')
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

/** Audit: who corrected which event, and by how much. The reason is in the table. */
export function usageAdjusted(log: Pick<Logger, 'info'>, event: UsageAdjustedData, actor: string): void {
  adjusted.inc()
  log.info(
    {
      eventId: event.event_id,
      projectId: event.project_id,
      version: event.version,
      differenceNanoUsd: event.difference_nano_usd,
      actor,
    },
    'usage adjusted',
  )
}

export function daysArchived(log: Logger, done: { archived: readonly string[]; dropped: readonly string[] }): void {
  archived.inc(done.archived.length)
  if (done.archived.length > 0) log.info({ days: done.archived }, 'days archived')
  if (done.dropped.length > 0) log.info({ days: done.dropped }, 'content of archived days dropped from the database')
}

export function archiveFailed(log: Logger, err: unknown): void {
  archiveFailures.inc()
  log.error({ err }, 'days not archived, will be tried again')
}

export function archiveVerified(log: Logger, report: { days: number; problems: readonly string[] }): void {
  archiveProblems.set(report.problems.length)
  for (const problem of report.problems) log.error({ problem }, 'archive is not as it was written')
  log.info({ days: report.days, problems: report.problems.length }, 'archive verified')
}

export function streamPurged(log: Logger, relief: { fullPerMille: number; keptFrom: number | undefined }): void {
  streamFull.set(relief.fullPerMille)
  if (relief.keptFrom === undefined) return
  purges.inc()
  log.warn({ ...relief }, 'stream USAGE was nearly full: what every consumer has acknowledged is deleted')
}

/** An alarm for each place that has not counted what the ledger has posted. */
export function usageReconciled(log: Logger, result: Reconciliation): void {
  for (const place of reconciledPlaces)
    reconciledHours.set({ place }, result.differences.filter(difference => difference.place === place).length)
  unanswered.set(reconciledPlaces.filter(place => result.places[place] === null).length)
  for (const difference of result.differences.slice(0, 20)) log.error({ ...difference }, 'sums differ from the ledger')
}

/** What is known to go if the journals of silent gateways are gone. A gateway is named once, when it falls silent. */
export function epochsWatched(
  log: Pick<Logger, 'error' | 'info'>,
  silent: readonly SilentEpoch[],
  before: readonly SilentEpoch[],
  nowMs: number,
): void {
  const sinceMs = silent.map(one => Date.parse(one.silent_since))
  silence.set(sinceMs.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...sinceMs)) / 1_000)
  silentEvents.set(silent.reduce((sum, one) => sum + (one.unposted_events ?? 0), 0))
  silentCalls.set(silent.reduce((sum, one) => sum + (one.open_calls ?? 0), 0))
  silentAmount.set(Number(silent.reduce((sum, one) => sum + BigInt(one.open_nano_usd ?? 0), 0n)))
  const isIn = (list: readonly SilentEpoch[], one: SilentEpoch): boolean =>
    list.some(other => other.gateway_id === one.gateway_id && other.epoch === one.epoch)
  for (const one of silent)
    if (!isIn(before, one)) log.error({ ...one }, 'gateway is silent and its epoch not closed: its journal may be lost')
  for (const { gateway_id, epoch } of before.filter(one => !isIn(silent, one)))
    log.info({ gatewayId: gateway_id, epoch }, 'no longer silent: heard of, closed or given up')
}

export function priceBookWithdrawn(log: Logger, priceBookId: string): void {
  log.info({ priceBookId }, 'price book withdrawn before it came into force')
}
