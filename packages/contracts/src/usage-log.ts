import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id } from './ids.ts'
import { PARTITIONS } from './partitions.ts'
import { Type } from './type.ts'

const Day = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' })

/** What of billing's usage log a service wants to read; a page at a time. All conditions that are named must hold. */
export const UsageLogRequestSchema = Type.Object({
  kind: Type.Union([Type.Literal('usage'), Type.Literal('adjustments'), Type.Literal('closed-epochs')]),
  /** `next` of the page before; empty: from the beginning. */
  after: Type.String({ pattern: '^[A-Za-z0-9_.-]{0,96}$' }),
  /** Posting days, UTC, both included. Of `usage` alone. */
  first_day: Type.Optional(Day),
  last_day: Type.Optional(Day),
  /** What overlaps this range of a series. Of `usage` alone. */
  range: Type.Optional(
    Type.Object({
      gateway_id: Id,
      epoch: Type.Integer({ minimum: 1 }),
      partition: Type.Integer({ minimum: 0, maximum: PARTITIONS - 1 }),
      first: Type.Integer({ minimum: 1 }),
      last: Type.Integer({ minimum: 1 }),
    }),
  ),
})

/** Asked on {@link usageLogSubject}, by request and reply. */
export const UsageLogRequest = defineDocument('usage log request', UsageLogRequestSchema)
export type UsageLogRequest = Static<typeof UsageLogRequestSchema>

/** Billing answers here. Whoever may publish to it may read the whole log: a permission of its own. */
export const usageLogSubject = 'billing.usage-log.v1'

/**
 * Headers of a page. Its body is NDJSON, zstd: of `usage` a line {@link UsageLogBatch} before the lines of each batch; of
 * `adjustments` a `usage.adjusted.v1` a line; of `closed-epochs` a `gateway.epoch-closed.v1` a line.
 */
export const usageLogHeaders = {
  /** Where the next page begins; empty: this is the last. */
  next: 'Sluice-Log-Next',
  /** Number of the newest batch in the log: the end of the way, for whoever shows progress. */
  head: 'Sluice-Log-Head',
  /** Why there is no page, in words. */
  error: 'Sluice-Log-Error',
} as const

export const UsageLogBatchSchema = Type.Object({
  batch: Type.String(),
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  partition: Type.Integer({ minimum: 0 }),
  first: Type.Integer({ minimum: 1 }),
  last: Type.Integer({ minimum: 1 }),
  posted_at_ms: Type.Integer({ minimum: 0 }),
})

/** Names the batch whose lines follow: `last - first + 1` of them, as they were received. */
export const UsageLogBatch = defineDocument('usage log batch', UsageLogBatchSchema)
export type UsageLogBatch = Static<typeof UsageLogBatchSchema>
