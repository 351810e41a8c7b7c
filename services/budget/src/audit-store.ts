import type { Budget } from '@sluice/contracts'
import type { Transaction } from '@sluice/postgres'
import type { BudgetTables } from './db/schema.ts'

/** Who changed a budget. */
export interface Actor {
  kind: 'member' | 'key' | 'service'
  id: string
}

export type AuditAction =
  | 'created'
  | 'changed'
  | 'deleted'
  | 'raised'
  | 'raise-ended'
  | 'written-off'
  | 'unresolved-expired'

/** Writes down a change of a budget, in its transaction. */
export async function insertAuditEntry(
  trx: Transaction<BudgetTables>,
  entry: {
    atMs: number
    actor: Actor
    /** Undefined: the budget spans projects. */
    projectId: string | undefined
    budgetId: string
    action: AuditAction
    before: Budget | undefined
    /** The budget; of raises and holds, what was done. */
    after: object | undefined
  },
): Promise<void> {
  await trx
    .insertInto('audit_entries')
    .values({
      at_ms: entry.atMs,
      actor_kind: entry.actor.kind,
      actor_id: entry.actor.id,
      project_id: entry.projectId ?? null,
      budget_id: entry.budgetId,
      action: entry.action,
      before: entry.before ? JSON.stringify(entry.before) : null,
      after: entry.after ? JSON.stringify(entry.after) : null,
    })
    .execute()
}
