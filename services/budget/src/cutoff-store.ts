import { Cutoff, cutoffKey } from '@sluice/contracts'
import { insertOutbox, type Kysely, type Statement, type Transaction } from '@sluice/postgres'
import { type RawBuilder, sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** The cutoffs of these budget copies, locked; those that never were are absent. For {@link toCutoffs}. */
export function lockCutoffs(copies: readonly { budgetId: string; copy: string }[]): Statement<{ document: unknown }> {
  const keys = copies.map(({ budgetId, copy }) => cutoffKey(budgetId, copy))
  return sql<{ document: unknown }>`select document from cutoffs where cutoff_id = any(${keys}::text[])
    order by cutoff_id for update`
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
  return toCutoffs(rows)
}

/** What KV `cutoffs` must hold. */
export async function listListedCutoffs(db: Reader): Promise<Map<string, Cutoff>> {
  return toCutoffs(await db.selectFrom('cutoffs').select('document').where('listed', '=', true).execute())
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

/** KV need not hold them any more: their window is over, or they were lifted before `liftedBeforeMs`. */
export function areOver(nowMs: number, liftedBeforeMs: number): RawBuilder<boolean> {
  return sql`listed and (until_ms <= ${nowMs} or (not active and at_ms < ${liftedBeforeMs}))`
}

/** Cutoffs that {@link areOver}, locked. What another instance has locked is left to it. */
export async function lockCutoffsThatAreOver(
  trx: Transaction<BudgetTables>,
  nowMs: number,
  liftedBeforeMs: number,
  most: number,
): Promise<Cutoff[]> {
  const { rows } = await sql<{ document: unknown }>`
    select document from cutoffs where ${areOver(nowMs, liftedBeforeMs)}
    order by cutoff_id limit ${most} for update skip locked`.execute(trx)
  return rows.map(row => Cutoff.check(row.document))
}

/** Forgets cutoffs that were lifted before `beforeMs`: of copies that did not come again. @returns how many; call again while it is `most` */
export async function pruneCutoffs(db: Reader, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from cutoffs where ctid = any(array(
    select ctid from cutoffs where not listed and not active and at_ms < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}

/** The statements that write new versions of cutoffs, with KV's copies in the outbox. */
export function putCutoffs(trx: Transaction<BudgetTables>, changed: readonly Cutoff[]): Statement<unknown>[] {
  if (changed.length === 0) return []
  const entries = changed.map(cutoff => ({
    kind: 'kv-put' as const,
    target: 'cutoffs',
    key: cutoff.cutoff_id,
    payload: Cutoff.encode(cutoff),
  }))
  return [...changed.map(cutoff => saveCutoff(trx, cutoff, true)), insertOutbox(entries)]
}

/** By `cutoffKey`. */
export function toCutoffs(rows: readonly { document: unknown }[]): Map<string, Cutoff> {
  return new Map(rows.map(row => Cutoff.check(row.document)).map(cutoff => [cutoff.cutoff_id, cutoff]))
}
