import type { Transaction } from '@sluice/postgres'
import { type Actor, tellTrail } from './audit-store.ts'
import type { CountedBudget } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'

const word = 'This budget was deleted: it refuses no call any more.'

/** Declines what was asked for of a budget that is deleted, and says why. @returns the requests that were open */
export async function closeRequests(
  trx: Transaction<BudgetTables>,
  { budget_id: budgetId, account_id: accountId }: CountedBudget,
  by: Actor,
  atMs: number,
): Promise<string[]> {
  const closed = await trx
    .updateTable('more_requests')
    .set({
      state: 'declined',
      decider_kind: by.kind,
      decider_id: by.id,
      decider_from: by.from === undefined ? null : JSON.stringify(by.from),
      decided_at_ms: atMs,
      word,
    })
    .where('budget_id', '=', budgetId)
    .where('state', '=', 'open')
    .returning(['request_id', 'project_id', 'amount'])
    .execute()
  for (const { request_id: target, project_id: projectId, amount } of closed)
    await tellTrail(trx, {
      atMs,
      actor: by,
      accountId,
      projectId,
      action: 'budget-request.declined',
      target,
      before: { budget_id: budgetId, amount: Number(amount) },
      after: { word },
    })
  return closed.map(row => row.request_id)
}
