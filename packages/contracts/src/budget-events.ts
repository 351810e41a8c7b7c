import { Cutoff } from './cutoff-document.ts'
import { defineEvent } from './define-event.ts'

/** `budget.cutoff.v1`, core NATS: end the calls of this budget copy and refuse the next. The same document is KV `cutoffs`. */
export const BudgetCutoff = defineEvent({
  type: 'budget.cutoff.v1',
  subject: () => 'budget.cutoff.v1',
  schema: Cutoff.schema,
})

/** `budget.released.v1`, core NATS: the cutoff of this budget copy is lifted (limit raised, budget deleted, window rolled). */
export const BudgetReleased = defineEvent({
  type: 'budget.released.v1',
  subject: () => 'budget.released.v1',
  schema: Cutoff.schema,
})
