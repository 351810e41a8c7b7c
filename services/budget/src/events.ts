import type { Logger } from '@sluice/runtime'
import { counter, gauge, histogram } from '@sluice/telemetry'
import type { AttemptOutcome, ClaimedDelivery, DeliveryProgress } from './alerts/delivery-store.ts'
import type { AppliedUsage } from './usage-store.ts'

const usageEvents = counter('sluice_budget_usage_events_total', 'Usage events counted')
const deadLetters = counter('sluice_budget_dead_letters_total', 'Messages or events that could not be applied')
const cutoffChanges = counter('sluice_budget_cutoff_changes_total', 'Cutoffs begun and lifted', ['change'])
const batchSeconds = histogram('sluice_budget_batch_seconds', 'Time from a fetched batch to its commit', {
  buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
})

/** A batch of usage was committed. */
export function usageApplied(log: Logger, applied: AppliedUsage, seconds: number): void {
  usageEvents.inc(applied.events)
  batchSeconds.observe(seconds)
  if (applied.deadLetters === 0) return
  deadLetters.inc(applied.deadLetters)
  log.error({ deadLetters: applied.deadLetters }, 'usage that cannot be applied was put aside')
}

/** Cutoffs have begun or were lifted. */
export function cutoffsChanged(
  log: Logger,
  cutoffs: readonly { cutoff_id: string; version: number; active: boolean }[],
): void {
  for (const { cutoff_id: cutoffId, version, active } of cutoffs) {
    cutoffChanges.inc({ change: active ? 'begun' : 'lifted' })
    log.info({ cutoffId, version, active }, 'cutoff changed')
  }
}

/** A window that differed from its facts is worth a look: nothing but a lost or a changed table makes one. */
export function windowsRebuilt(log: Logger, budgetId: string, corrected: number): void {
  if (corrected > 0) log.warn({ budgetId, corrected }, 'windows made equal to their facts')
}

const grants = counter('sluice_budget_grants_total', 'Leases granted')
const refusals = counter('sluice_budget_lease_refusals_total', 'Asks refused', ['reason'])
const askSeconds = histogram('sluice_budget_ask_seconds', 'Time from an ask to its answer', {
  buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
})
const recalls = counter('sluice_budget_recalls_total', 'Leases of which idle money was called back')
const badRequests = counter('sluice_budget_lease_requests_dropped_total', 'Requests about leases that had no answer', [
  'reason',
])
const ownedHomes = gauge('sluice_budget_owned_homes', 'Homes of budgets that this instance owns')

/** A batch of requests about leases was committed. */
export function leasesChanged(batch: { granted: number; refused: readonly ({ reason: string } | undefined)[] }): void {
  grants.inc(batch.granted)
  for (const refusal of batch.refused) if (refusal) refusals.inc({ reason: refusal.reason })
}

export function askAnswered(receivedAt: number): void {
  askSeconds.observe((performance.now() - receivedAt) / 1_000)
}

export function moneyRecalled(leases: number): void {
  recalls.inc(leases)
}

/** A request about leases has no answer: its gateway asks again. */
export function leaseRequestDropped(reason: 'full' | 'refused' | 'unreadable'): void {
  badRequests.inc({ reason })
}

const outstanding = gauge('sluice_budget_outstanding', 'What gateways hold of hard budgets, in homes owned here', {
  labelNames: ['unit'],
})
const unresolved = gauge('sluice_budget_unresolved', 'What may have been used by attempts of unknown end', {
  labelNames: ['unit'],
})
const silentLeases = counter('sluice_budget_silent_leases_total', 'Leases of gateways that were silent for too long')
const expiredHolds = counter('sluice_budget_expired_holds_total', 'Holds given up after being unresolved for too long')

export function holdingsMeasured(
  units: readonly string[],
  sums: readonly { unit: string; outstanding: number; unresolved: number }[],
): void {
  for (const unit of units) {
    const sum = sums.find(one => one.unit === unit)
    outstanding.set({ unit }, sum?.outstanding ?? 0)
    unresolved.set({ unit }, sum?.unresolved ?? 0)
  }
}

/** Money in doubt: of gateways that are gone, and what was given up. */
export function homeSwept(log: Logger, { silent, expired }: { silent: number; expired: number }): void {
  silentLeases.inc(silent)
  expiredHolds.inc(expired)
  if (silent > 0) log.warn({ leases: silent }, 'leases of gateways that are silent are unresolved now')
  if (expired > 0) log.warn({ holds: expired }, 'holds given up that were unresolved for too long')
}

let hasLoggedUnreadable = false
/** A gateway of another version, or none of ours: one line is enough. */
export function leaseRequestUnreadable(log: Logger, subject: string, err: Error): void {
  leaseRequestDropped('unreadable')
  if (hasLoggedUnreadable) return
  hasLoggedUnreadable = true
  log.error({ err, subject }, 'request about leases cannot be read; further ones are counted')
}

const alertAttempts = counter('sluice_budget_alert_attempts_total', 'Attempts to send alerts of budgets', [
  'kind',
  'outcome',
])
// A counter that begins with its first one has not grown: the alarm would not hear of it.
for (const kind of ['webhook', 'email', 'member']) alertAttempts.inc({ kind, outcome: 'given_up' }, 0)

/** An alert was sent, is tried again later, or was given up. */
export function alertAttempted(
  log: Logger,
  { deliveryId, attempts, destination }: ClaimedDelivery,
  { error }: AttemptOutcome,
  progress: DeliveryProgress,
): void {
  const { kind } = destination.target
  alertAttempts.inc({ kind, outcome: progress })
  const about = { deliveryId, destinationId: destination.destinationId, kind, attempts }
  if (progress === 'delivered') log.info(about, 'alert delivered')
  else log.warn({ ...about, error, progress }, 'alert not delivered')
}

export function homesOwned(count: number): void {
  ownedHomes.set(count)
}
