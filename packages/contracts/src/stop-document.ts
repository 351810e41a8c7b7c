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
  /** Absent: an admin has stopped them. Else their prepaid project has no money left, and what costs nothing goes on. */
  kind: Type.Optional(Type.Literal('balance_exhausted')),
})

/** A stop of calls while it stands, in KV `stops` under its id. */
export const Stop = defineDocument('stop', StopSchema)
export type Stop = Static<typeof StopSchema>
