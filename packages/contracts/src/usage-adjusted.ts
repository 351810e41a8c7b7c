import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, NanoUsd, UnixMs, Uuid } from './ids.ts'
import { Quantities } from './quantities.ts'
import type { Series } from './series.ts'
import { Type } from './type.ts'
import { LineItem } from './usage-recorded.ts'

/**
 * `usage.adjusted.v1`: new totals for an event that was recorded before. A series of its own, numbered in billing's outbox.
 * Consumers apply the difference to what they hold; `version` counts from 1 (`usage.recorded` is version 0).
 */
export const UsageAdjustedData = Type.Object({
  seq: Type.Integer({ minimum: 1 }),
  event_id: Uuid,
  version: Type.Integer({ minimum: 1 }),
  project_id: Uuid,
  account_id: Id,
  admitted_at_ms: UnixMs,
  adjusted_at_ms: UnixMs,
  reason: Type.String(),
  /** Its quantities are what was used, as somebody has found out: what was unresolved of it is known now. Absent: rated anew only. */
  measured: Type.Optional(Type.Literal(true)),
  price_book_id: Type.String(),
  quantities: Quantities,
  line_items: Type.Array(LineItem),
  cost_nano_usd: NanoUsd,
  /** New total minus the total of the version before. */
  difference_nano_usd: NanoUsd,
})
export type UsageAdjustedData = Static<typeof UsageAdjustedData>

export const UsageAdjusted = defineEvent({
  type: 'usage.adjusted.v1',
  subject: () => 'usage.adjusted.v1',
  schema: UsageAdjustedData,
})

/** The one series of adjustments, in every consumer's marks; no gateway is called so. */
export const adjustmentSeries: Series = { gatewayId: 'billing-adjustments', epoch: 1, partition: 0 }
