import type { Logger } from '@sluice/runtime'
import { counter, histogram } from '@sluice/telemetry'
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
