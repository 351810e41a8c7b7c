import { Cutoff, cutoffKey } from '@sluice/contracts'
import { insertOutbox, type Kysely, type Transaction, together } from '@sluice/postgres'
import { sql } from 'kysely'
import type { CountedBudget, WindowState } from './budget.ts'
import { decideCutoff } from './cutoff.ts'
import type { BudgetTables } from './db/schema.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** The cutoffs of these budget copies, locked, by `cutoffKey`; those that never were are absent. */
export async function lockCutoffs(
  trx: Transaction<BudgetTables>,
  copies: readonly { budgetId: string; copy: string }[],
): Promise<Map<string, Cutoff>> {
  if (copies.length === 0) return new Map()
  const keys = copies.map(({ budgetId, copy }) => cutoffKey(budgetId, copy))
  const rows = await trx
    .selectFrom('cutoffs')
    .select('document')
    .where('cutoff_id', 'in', keys)
    .orderBy('cutoff_id')
    .forUpdate()
    .execute()
  return toMap(rows)
}

/** Every cutoff of a budget that is active. */
export async function listActiveCutoffs(db: Reader, budgetIds: readonly string[]): Promise<Map<string, Cutoff>> {
  if (budgetIds.length === 0) return new Map()
  const rows = await db
    .selectFrom('cutoffs')
    .select('document')
    .where('budget_id', 'in', [...budgetIds])
    .where('active', '=', true)
    .execute()
  return toMap(rows)
}

/** What KV `cutoffs` must hold. */
export async function listListedCutoffs(db: Reader): Promise<Map<string, Cutoff>> {
  return toMap(await db.selectFrom('cutoffs').select('document').where('listed', '=', true).execute())
}

/** Writes the next version of a cutoff. `listed`: whether KV holds it from now on. */
export function saveCutoff(trx: Transaction<BudgetTables>, cutoff: Cutoff, listed: boolean) {
  const values = {
    version: cutoff.version,
    active: cutoff.active,
    until_ms: cutoff.until_ms ?? null,
    at_ms: cutoff.at_ms,
    listed,
    document: Cutoff.encode(cutoff),
  }
  return trx
    .insertInto('cutoffs')
    .values({ cutoff_id: cutoff.cutoff_id, budget_id: cutoff.budget_id, copy: cutoff.copy, ...values })
    .onConflict(conflict => conflict.column('cutoff_id').doUpdateSet(values))
}

/**
 * Cutoffs that KV need not hold any more, locked: their window is over, or they were lifted before `liftedBeforeMs`.
 * What another instance has locked is left to it.
 */
export async function lockCutoffsThatAreOver(
  trx: Transaction<BudgetTables>,
  nowMs: number,
  liftedBeforeMs: number,
  most: number,
): Promise<Cutoff[]> {
  const { rows } = await sql<{ document: unknown }>`
    select document from cutoffs
    where listed and (until_ms <= ${nowMs} or (not active and at_ms < ${liftedBeforeMs}))
    order by cutoff_id limit ${most} for update skip locked`.execute(trx)
  return rows.map(row => Cutoff.check(row.document))
}

/** Forgets cutoffs that were lifted before `beforeMs`: of copies that did not come again. @returns how many; call again while it is `most` */
export async function pruneCutoffs(db: Reader, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from cutoffs where ctid = any(array(
    select ctid from cutoffs where not listed and not active and at_ms < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}

/** Decides for each window, and writes what changes, with KV's copy in the outbox. */
export async function decideAndSave(
  trx: Transaction<BudgetTables>,
  budgets: ReadonlyMap<string, CountedBudget>,
  windows: readonly WindowState[],
  nowMs: number,
): Promise<Cutoff[]> {
  const held = await lockCutoffs(trx, windows)
  const changed: Cutoff[] = []
  for (const window of windows) {
    const budget = budgets.get(window.budgetId)
    const key = cutoffKey(window.budgetId, window.copy)
    const cutoff = budget && decideCutoff(budget, window, held.get(key), nowMs)
    if (!cutoff) continue
    held.set(key, cutoff)
    changed.push(cutoff)
  }
  if (changed.length === 0) return []
  await together(trx, [
    ...changed.map(cutoff => saveCutoff(trx, cutoff, true)),
    insertOutbox(
      changed.map(cutoff => ({
        kind: 'kv-put',
        target: 'cutoffs',
        key: cutoff.cutoff_id,
        payload: Cutoff.encode(cutoff),
      })),
    ),
  ])
  return changed
}

function toMap(rows: readonly { document: unknown }[]): Map<string, Cutoff> {
  return new Map(rows.map(row => Cutoff.check(row.document)).map(cutoff => [cutoff.cutoff_id, cutoff]))
}
