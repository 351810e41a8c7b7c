import { decideResolved, evolve, type Lease, weightOf, wholeLease } from '@sluice/leases'
import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { type Actor, insertAuditEntry } from '../audit-store.ts'
import type { BudgetParent } from '../budget.ts'
import { findBudget } from '../budget-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { budgetNotFound, holdNotFound } from '../errors.ts'
import { namingNothing } from './command.ts'
import { type LoadedHome, loadHome, saveHome } from './home-store.ts'
import { lockHomes } from './ownership-store.ts'

/** An unresolved hold that was given up: money that may have been used, and is free again all the same. */
export interface GivenUpHold {
  leaseId: string
  attemptId: string
  amount: number
  copy: string
}

/** What of a lease is unresolved under this attempt. Undefined: nothing. */
export function unresolvedOf(lease: Lease, attemptId: string): number | undefined {
  if (attemptId !== wholeLease) return lease.unresolved.get(attemptId)
  if (lease.state !== 'silent' || lease.givenUp.has(wholeLease)) return undefined
  const named = [...lease.unresolved.values()].reduce((sum, amount) => sum + amount, 0)
  return weightOf(lease).unresolved - named
}

/** Gives holds of a loaded home up, with a line of the audit for each, and writes what has changed. */
export async function giveUpHolds(
  trx: Transaction<BudgetTables>,
  home: number,
  loaded: LoadedHome,
  holds: readonly { leaseId: string; attemptId: string }[],
  given: { actor: Actor; action: 'written-off' | 'unresolved-expired'; reason: string; nowMs: number },
): Promise<GivenUpHold[]> {
  const { state } = loaded
  const givenUp: GivenUpHold[] = []
  const parents = await parentsOf(
    trx,
    [...state.pools.values()].map(({ budgetId }) => budgetId),
  )
  for (const { leaseId, attemptId } of holds) {
    const lease = state.leases.get(leaseId)
    const pool = lease && state.pools.get(lease.pool)
    const amount = lease && unresolvedOf(lease, attemptId)
    if (!pool || amount === undefined) continue
    for (const event of decideResolved(state, leaseId, attemptId)) evolve(state, event)
    givenUp.push({ leaseId, attemptId, amount, copy: pool.copy })
    const parent = parents.get(pool.budgetId)
    if (!parent) throw new Error(`budget ${pool.budgetId} has no row`)
    await insertAuditEntry(trx, {
      atMs: given.nowMs,
      actor: given.actor,
      ...parent,
      budgetId: pool.budgetId,
      action: given.action,
      before: undefined,
      after: {
        lease_id: leaseId,
        attempt_id: attemptId,
        gateway_id: lease.gatewayId,
        copy: pool.copy,
        window_start_ms: pool.windowStartMs,
        amount,
        reason: given.reason,
      },
    })
  }
  const leases = [...new Set(givenUp.map(({ leaseId }) => leaseId))].flatMap(id => state.leases.get(id) ?? [])
  const pools = new Set(leases.flatMap(({ pool }) => state.pools.get(pool) ?? []))
  await saveHome(trx, home, loaded, { leases, pools: [...pools] }, given.nowMs)
  return givenUp
}

async function parentsOf(
  trx: Transaction<BudgetTables>,
  budgetIds: readonly string[],
): Promise<Map<string, BudgetParent>> {
  const { rows } = await sql<{ budget_id: string; account_id: string; project_id: string | null }>`
    select budget_id, account_id, project_id from budgets
    where budget_id = any(${[...new Set(budgetIds)]}::text[])`.execute(trx)
  return new Map(
    rows.map(row => [row.budget_id, { accountId: row.account_id, projectId: row.project_id ?? undefined }]),
  )
}

/** A person gives up an unresolved hold. @throws AppError 404 where there is none */
export function writeOffHold(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  hold: { budgetId: string; leaseId: string; attemptId: string },
  given: { actor: Actor; reason: string; nowMs: number },
): Promise<GivenUpHold> {
  return transact(db, async trx => {
    const budget = await findBudget(trx, parent, hold.budgetId)
    if (!budget) throw budgetNotFound()
    const row = await trx
      .selectFrom('leases')
      .select('home')
      .where('lease_id', '=', hold.leaseId)
      .where('budget_id', '=', hold.budgetId)
      .executeTakeFirst()
    if (!row) throw holdNotFound()
    await lockHomes(trx, [row.home])
    const loaded = await loadHome(trx, row.home, { ...namingNothing(), leaseIds: [hold.leaseId] })
    const [givenUp] = await giveUpHolds(trx, row.home, loaded, [hold], { ...given, action: 'written-off' })
    if (!givenUp) throw holdNotFound()
    return givenUp
  })
}
