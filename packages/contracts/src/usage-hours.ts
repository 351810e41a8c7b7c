import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** Which hours of admission are asked for: those that begin in `from_ms..to_ms`, the end not included. */
export const UsageHoursRequestSchema = Type.Object({
  from_ms: UnixMs,
  to_ms: UnixMs,
  /** `next` of the page before; absent: from the beginning. */
  after: Type.Optional(Type.String({ maxLength: 64 })),
})
export const UsageHoursRequest = defineDocument('usage hours request', UsageHoursRequestSchema)
export type UsageHoursRequest = Static<typeof UsageHoursRequestSchema>

export const UsageHoursPageSchema = Type.Object({
  /** Sums by hour and project, in that order. Amounts are decimal text: a sum may be larger than a JSON number holds. */
  hours: Type.Array(
    Type.Object({
      project_id: Uuid,
      hour_ms: UnixMs,
      events: Type.Integer({ minimum: 0 }),
      cost_nano_usd: Type.String(),
    }),
  ),
  /** Where the next page begins; absent: this is the last. */
  next: Type.Optional(Type.String()),
})

/** What a service has counted: asked by billing, on the subject of each service, by request and reply. */
export const UsageHoursPage = defineDocument('usage hours page', UsageHoursPageSchema)
export type UsageHoursPage = Static<typeof UsageHoursPageSchema>

/** Analytics answers from raw rows and from rollups, budget from what its budgets of money count. */
export const usageHoursSubjects = {
  analytics_rows: 'analytics.usage-hours.v1.rows',
  analytics_rollups: 'analytics.usage-hours.v1.rollups',
  budget: 'budget.usage-hours.v1',
} as const
