import type { Static } from 'typebox'
import { BudgetScope } from './budget-document.ts'
import { defineDocument } from './define-event.ts'
import { Id, UnixMs } from './ids.ts'
import { Type } from './type.ts'

export const StopSchema = Type.Object({
  stop_id: Id,
  account_id: Id,
  /** Calls in it are ended and refused; it always names the project. */
  scope: BudgetScope,
  /** What the callers are told. */
  reason: Type.String(),
  at_ms: UnixMs,
})

/** An admin's stop while it stands, in KV `stops` under its id. */
export const Stop = defineDocument('stop', StopSchema)
export type Stop = Static<typeof StopSchema>
