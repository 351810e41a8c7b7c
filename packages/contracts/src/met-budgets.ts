import type { Static } from 'typebox'
import { BudgetSchema } from './budget-document.ts'
import { defineDocument } from './define-event.ts'
import { UnixMs } from './ids.ts'
import { StopSchema } from './stop-document.ts'
import { Type } from './type.ts'
import { CallIdentity, ClaimedDimensions } from './usage-recorded.ts'

/** A call, as far as budgets are matched by it. */
export const MetBudgetsRequestSchema = Type.Object({
  identity: CallIdentity,
  claimed: ClaimedDimensions,
  provider: Type.String(),
  /** As the client wrote it. */
  model: Type.String(),
  admitted_at_ms: UnixMs,
  /** When it had ended or was refused: stops that came meanwhile are told, too. */
  ended_at_ms: UnixMs,
})
export const MetBudgetsRequest = defineDocument('met budgets request', MetBudgetsRequestSchema)
export type MetBudgetsRequest = Static<typeof MetBudgetsRequestSchema>

export const MetBudgetsSchema = Type.Object({
  budgets: Type.Array(
    Type.Object({
      /** As it was when the call came: what may change of a budget may be another by now. */
      budget: BudgetSchema,
      copy: Type.String(),
      window_start_ms: UnixMs,
      /** Absent: the window never ends. */
      window_end_ms: Type.Optional(UnixMs),
      /** What calls that came before it in that window have used, as decimal text. Absent: it takes too long to say. */
      spent_before: Type.Optional(Type.String()),
    }),
  ),
  stops: Type.Array(StopSchema),
})
/** The budgets and the stops that a call has met, asked of the budget service by request and reply. */
export const MetBudgets = defineDocument('met budgets', MetBudgetsSchema)
export type MetBudgets = Static<typeof MetBudgetsSchema>

export const metBudgetsSubject = 'budget.met-budgets.v1'
