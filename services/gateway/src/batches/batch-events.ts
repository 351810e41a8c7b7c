import type { BatchJob, UsageRecordedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter, gauge } from '@sluice/telemetry'
import type { KeptBatch } from '../views/batch-jobs-view.ts'
import { batchDialects } from './batch-dialect.ts'
import type { SettledResults } from './settle-results.ts'

const results = counter('gateway_batch_results_total', 'Results of batches settled, by how they ended', [
  'dialect',
  'outcome',
])
const settled = counter('gateway_batches_settled_total', 'Batches settled', ['dialect'])
const found = counter('gateway_batches_found_total', 'Batches found at a provider that nobody here had recorded', [
  'dialect',
  'what',
])
const failures = counter('gateway_batch_looks_failed_total', 'Looks at a batch that will be tried again', ['dialect'])
const unreadable = counter('gateway_batch_results_unreadable_total', 'Lines of results that are no result', ['dialect'])

/** Providers end a batch within a day. */
const overdueMs = 26 * 60 * 60 * 1000

export function isOverdue(job: BatchJob, nowMs: number): boolean {
  return job.state === 'lost' || (job.state === 'running' && nowMs - job.created_at_ms > overdueMs)
}

const triesUntilStuck = 3

/** Says whether a batch has ended and could not be settled time and again. */
export function isStuck(job: BatchJob): boolean {
  return job.state === 'running' && (job.unsettled?.tries ?? 0) >= triesUntilStuck
}

/** What the batches of a gateway tell its operator. */
export function createBatchEvents(log: Logger) {
  // From zero on, so that the first of them is seen to rise.
  for (const dialect of Object.keys(batchDialects)) unreadable.labels(dialect).inc(0)
  return {
    resultSettled(event: UsageRecordedData, outcome: string): void {
      results.labels(event.dialect, outcome).inc()
    },
    batchSettled(job: BatchJob, total: SettledResults): void {
      settled.labels(job.dialect).inc()
      if (total.unreadable > 0) unreadable.labels(job.dialect).inc(total.unreadable)
      const about = { batchId: job.batch_id, projectId: job.creator?.identity.project_id }
      const sums = { ...total, costNanoUsd: String(total.costNanoUsd) }
      if (total.unreadable > 0)
        log.error({ ...about, ...sums }, 'batch settled, but some results cannot be read: what they cost is estimated')
      else log.info({ ...about, ...sums }, 'batch settled')
    },
    lookFailed(job: BatchJob, err: unknown): void {
      failures.labels(job.dialect).inc()
      log.warn({ err, batchId: job.batch_id }, 'batch not looked at, will be tried again')
    },
    batchStuck(job: BatchJob): void {
      log.error(
        { batchId: job.batch_id, access: job.access, projectId: job.creator?.identity.project_id, ...job.unsettled },
        'batch that has ended cannot be settled: its results do not add up or cannot be read',
      )
    },
    batchLost(job: BatchJob): void {
      log.error({ batchId: job.batch_id, access: job.access }, 'batch lost: what it cost can no longer be had')
    },
    unknownFound(job: BatchJob): void {
      found.labels(job.dialect, 'unknown').inc()
      log.error(
        { batchId: job.batch_id, dialect: job.dialect, access: job.access },
        'batch at the provider that was not made through us: what it costs is not accounted',
      )
    },
    adopted(job: BatchJob): void {
      found.labels(job.dialect, 'adopted').inc()
      log.warn(
        { batchId: job.batch_id, projectId: job.creator?.identity.project_id, callId: job.creator?.call_id },
        'batch adopted whose creation had lost its answer',
      )
    },
    adoptedByHand(job: BatchJob, { by, reason }: { by: string; reason: string }): void {
      found.labels(job.dialect, 'adopted_by_hand').inc()
      const { project_id: projectId, key_id: keyId } = job.creator?.identity ?? {}
      log.warn({ batchId: job.batch_id, projectId, keyId, by, reason }, 'unknown batch given to a project by hand')
    },
    notListed(access: string, dialect: string, err: unknown): void {
      log.warn({ err, access, dialect }, 'batches of a provider not listed, will be tried again')
    },
    notRecorded(err: unknown, batchId: string): void {
      log.error({ err, batchId }, 'batch not recorded yet, will be tried again')
    },
    observe(all: () => Iterable<KeptBatch>): void {
      const count = (is: (job: BatchJob) => boolean) => () => {
        let counted = 0
        for (const { job } of all()) if (is(job)) counted++
        return counted
      }
      gauge('gateway_batches_running', 'Batches at providers that are not settled', {
        read: count(job => job.state === 'running'),
      })
      gauge('gateway_batches_unknown', 'Batches at providers that were not made through us and nobody has dismissed', {
        read: count(job => job.state === 'unknown'),
      })
      gauge('gateway_batches_stuck', 'Batches that have ended and could not be settled three times or more', {
        read: count(isStuck),
      })
      gauge('gateway_batches_overdue', 'Batches that should be settled by now, lost ones included', {
        read: count(job => isOverdue(job, Date.now())),
      })
    },
  }
}
export type BatchEvents = ReturnType<typeof createBatchEvents>
