import { decideResolved, evolve } from '@sluice/leases'
import type { Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { WindowSum } from '../budget.ts'
import type { BudgetTables } from '../db/schema.ts'
import { namingNothing } from './command.ts'
import { loadHome, lockWindowRows, saveHome } from './home-store.ts'
import { lockHomes } from './ownership-store.ts'

/** An attempt whose use of a lease is known now, or given up. */
export interface ResolvedHold {
  leaseId: string
  attemptId: string
}

/**
 * Frees what these attempts have unresolved. Homes are locked whoever owns them: their owners keep nothing of a lease in
 * memory from one transaction to the next.
 * @param sums what this transaction adds to windows behind this: all windows of both are locked in the one order that everybody
 * locks them in, before any is changed
 * @returns copies of budgets that have changed
 */
export async function resolveHolds(
  trx: Transaction<BudgetTables>,
  resolved: readonly ResolvedHold[],
  sums: readonly WindowSum[],
  nowMs: number,
): Promise<{ budgetId: string; copy: string }[]> {
  if (resolved.length === 0) return []
  const leaseIds = resolved.map(({ leaseId }) => leaseId)
  const { rows } = await sql<{ home: number }>`
    select distinct home from leases where lease_id = any(${leaseIds}::text[])`.execute(trx)
  const homes = rows.map(({ home }) => home).sort((a, b) => a - b)
  await lockHomes(trx, homes)
  await lockWindows(trx, leaseIds, sums)
  const copies: { budgetId: string; copy: string }[] = []
  for (const home of homes) {
    const loaded = await loadHome(trx, home, { ...namingNothing(), leaseIds })
    const { state } = loaded
    const events = resolved.flatMap(({ leaseId, attemptId }) => {
      const decided = decideResolved(state, leaseId, attemptId)
      for (const event of decided) evolve(state, event)
      return decided
    })
    const changed = new Set(events.flatMap(event => ('lease' in event ? [event.lease.leaseId] : [])))
    const leases = [...changed].flatMap(leaseId => state.leases.get(leaseId) ?? [])
    const pools = [...new Set(leases.map(({ pool }) => pool))].flatMap(key => state.pools.get(key) ?? [])
    await saveHome(trx, home, loaded, { leases, pools }, nowMs)
    copies.push(...pools.map(({ budgetId, copy }) => ({ budgetId, copy })))
  }
  return copies
}

async function lockWindows(
  trx: Transaction<BudgetTables>,
  leaseIds: readonly string[],
  sums: readonly WindowSum[],
): Promise<void> {
  const leases = await trx
    .selectFrom('leases')
    .select(['budget_id', 'copy', 'window_start_ms'])
    .where('lease_id', 'in', [...leaseIds])
    .execute()
  await lockWindowRows(trx, [
    ...leases.map(row => ({ budgetId: row.budget_id, copy: row.copy, windowStartMs: Number(row.window_start_ms) })),
    ...sums.map(({ budgetId, copy, window }) => ({ budgetId, copy, windowStartMs: window.startMs })),
  ])
}
