import type { Kysely, Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Actor } from './audit-store.ts'
import type { BudgetParent, CountedBudget } from './budget.ts'
import { type BudgetChange, putInForce, unchanged } from './budget-change-store.ts'
import { findBudget } from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { budgetNotFound, tooManyRaises } from './errors.ts'
import { claimMaking, type MakingOnce } from './made-once-store.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** More than the limit of a budget, for a time. */
export interface Raise {
  raiseId: string
  budgetId: string
  amount: number
  untilMs: number
  reason: string
  by: Actor
  createdAtMs: number
}

/** Raises of one budget that stand at the same time. */
const mostRaises = 20

/** Lifts the limit in force of a budget until a time. Cutoffs below it are lifted in the same transaction. */
export function raiseBudget(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  raise: Raise,
  check: (budget: CountedBudget) => void,
  once?: MakingOnce,
): Promise<BudgetChange> {
  return changeUnder(db, parent, trx => putRaise(trx, parent, raise, check, once))
}

/** The same; its parent is locked. */
export async function putRaise(
  trx: Transaction<BudgetTables>,
  parent: BudgetParent,
  raise: Raise & { requestId?: string },
  check: (budget: CountedBudget) => void,
  once?: MakingOnce,
): Promise<BudgetChange> {
  const before = await findBudget(trx, parent, raise.budgetId)
  if (!before) throw budgetNotFound()
  const first = once && (await claimMaking(trx, once, raise.raiseId, raise.createdAtMs))
  if (first !== undefined && first !== raise.raiseId) return unchanged(before)
  check(before)
  if ((await listRaises(trx, [raise.budgetId], raise.createdAtMs)).length >= mostRaises) throw tooManyRaises()
  await trx
    .insertInto('budget_raises')
    .values({
      raise_id: raise.raiseId,
      budget_id: raise.budgetId,
      amount: raise.amount,
      until_ms: raise.untilMs,
      reason: raise.reason,
      actor_kind: raise.by.kind,
      actor_id: raise.by.id,
      created_at_ms: raise.createdAtMs,
      ended_at_ms: null,
    })
    .execute()
  return putInForce(trx, {
    actor: raise.by,
    action: 'raised',
    before,
    budget: { ...before, limit: before.limit + raise.amount },
    note: {
      raise_id: raise.raiseId,
      amount: raise.amount,
      until_ms: raise.untilMs,
      reason: raise.reason,
      ...(raise.requestId === undefined ? {} : { request_id: raise.requestId }),
    },
    nowMs: raise.createdAtMs,
  })
}

/** Raises that stand, the one that ends first at the head. */
export async function listRaises(db: Reader, budgetIds: readonly string[], nowMs: number): Promise<Raise[]> {
  if (budgetIds.length === 0) return []
  const rows = await db
    .selectFrom('budget_raises')
    .selectAll()
    .where('budget_id', 'in', [...budgetIds])
    .where('ended_at_ms', 'is', null)
    .where('until_ms', '>', String(nowMs))
    .orderBy('until_ms')
    .execute()
  return rows.map(row => ({
    raiseId: row.raise_id,
    budgetId: row.budget_id,
    amount: Number(row.amount),
    untilMs: Number(row.until_ms),
    reason: row.reason,
    by: { kind: row.actor_kind === 'member' ? 'member' : 'key', id: row.actor_id },
    createdAtMs: Number(row.created_at_ms),
  }))
}

/** Budgets with raises that are over and of which nobody was told. */
export async function listEndedRaises(
  db: Kysely<BudgetTables>,
  nowMs: number,
): Promise<{ parent: BudgetParent; budgetId: string }[]> {
  const { rows } = await sql<{ account_id: string; project_id: string | null; budget_id: string }>`
    select distinct b.account_id, b.project_id, b.budget_id from budget_raises r join budgets b using (budget_id)
    where r.ended_at_ms is null and r.until_ms <= ${nowMs} limit 100`.execute(db)
  return rows.map(row => ({
    parent: { accountId: row.account_id, projectId: row.project_id ?? undefined },
    budgetId: row.budget_id,
  }))
}

/** Tells that raises of a budget are over: gateways see the limit, cutoffs begin, idle money is called back. */
export function endRaises(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  budgetId: string,
  nowMs: number,
): Promise<BudgetChange | undefined> {
  return changeUnder(db, parent, async trx => {
    const { rows: ended } = await sql<{ raise_id: string; amount: string }>`
      update budget_raises set ended_at_ms = ${nowMs}
      where budget_id = ${budgetId} and ended_at_ms is null and until_ms <= ${nowMs}
      returning raise_id, amount`.execute(trx)
    const budget = await findBudget(trx, parent, budgetId)
    if (!budget || ended.length === 0) return undefined
    const amount = ended.reduce((sum, raise) => sum + Number(raise.amount), 0)
    return putInForce(trx, {
      actor: { kind: 'service', id: 'budget' },
      action: 'raise-ended',
      before: { ...budget, limit: budget.limit + amount },
      budget,
      note: { raise_ids: ended.map(raise => raise.raise_id), amount },
      nowMs,
    })
  })
}
