import type { Cutoff } from '@sluice/contracts'
import { enqueue, type Kysely, prepared, together, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { pruneAlerts } from './alerts/delivery-store.ts'
import { liftCutoff } from './cutoff.ts'
import { areOver, lockCutoffsThatAreOver, pruneCutoffs, saveCutoff } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { pruneLeases } from './homes/sweep-store.ts'
import { pruneMakings } from './made-once-store.ts'
import { pruneSettlements } from './settlement-store.ts'
import { pruneFacts } from './spend-fact-store.ts'
import { isChosenOf, pruneShortChosen, pruneWindows } from './window-store.ts'

/** A lifted cutoff stays in KV this long, so that a gateway that comes back meets its newest version. */
const liftedKeptMs = 10 * 60_000
/** Facts, ended windows and settlement keys are kept for so long. */
export const keptMs = 400 * 24 * 60 * 60_000

/** Windows of a minute or an hour of what callers choose are kept for so long: they may be a thousand each time. */
const shortChosenKeptMs = 3 * 24 * 60 * 60_000

/** Copies of what callers choose whose window has ended since then: of other budgets the same copies come again. */
export async function listEndedCopies(
  db: Kysely<BudgetTables>,
  sinceMs: number,
  nowMs: number,
): Promise<{ budgetId: string; copy: string }[]> {
  const { rows } = await sql<{ budget_id: string; copy: string }>`
    select distinct w.budget_id, w.copy from budget_windows w join budgets b using (budget_id)
    where w.window_end_ms > ${sinceMs} and w.window_end_ms <= ${nowMs} and b.deleted_at_ms is null
      and ${isChosenOf('b')}`.execute(db)
  return rows.map(row => ({ budgetId: row.budget_id, copy: row.copy }))
}

/** A closed lease is kept for so long after its window, so that a gateway that comes back meets it. */
const leasesKeptMs = 35 * 24 * 60 * 60_000

/** What is over and has not been dealt with. */
export interface OverNow {
  cutoffs: boolean
  raises: boolean
}

/** Asked every few seconds and nearly always in vain: in one question, which is planned once. */
export async function findOver(db: Kysely<BudgetTables>, nowMs: number): Promise<OverNow> {
  const { rows } = await sql<OverNow>`${prepared}select
    exists (select from cutoffs where ${areOver(nowMs, nowMs - liftedKeptMs)}) as cutoffs,
    exists (select from budget_raises where ended_at_ms is null and until_ms <= ${nowMs}) as raises`.execute(db)
  return rows[0] ?? { cutoffs: false, raises: false }
}

/**
 * Marks cutoffs inactive whose window is over and takes them out of KV. Gateways have lifted them by themselves at that
 * time. @returns those that were active until now; call again while it is not empty
 */
export function endCutoffs(db: Kysely<BudgetTables>, nowMs: number): Promise<Cutoff[]> {
  return transact(db, async trx => {
    const over = await lockCutoffsThatAreOver(trx, nowMs, nowMs - liftedKeptMs, 500)
    const ended = over.map(cutoff => (cutoff.active ? liftCutoff(cutoff, nowMs) : cutoff))
    await together(
      trx,
      ended.map(cutoff => saveCutoff(trx, cutoff, false)),
    )
    await enqueue(
      trx,
      over.map(cutoff => ({ kind: 'kv-delete', target: 'cutoffs', key: cutoff.cutoff_id, payload: '' })),
    )
    return ended.filter((_cutoff, index) => over[index]?.active)
  })
}

/** What people were told is kept for so long. */
const alertsKeptMs = 90 * 24 * 60 * 60_000

/** The same request again makes nothing for so long. */
const makingsKeptMs = 86_400_000

/** Forgets what is older than 400 days, and closed leases of old windows, in small steps. @returns whether there may be more */
export async function pruneOld(db: Kysely<BudgetTables>, nowMs: number): Promise<boolean> {
  const most = 5_000
  const pruned = [
    await pruneLeases(db, nowMs - leasesKeptMs, most),
    await pruneFacts(db, nowMs - keptMs, most),
    await pruneWindows(db, nowMs - keptMs, most),
    await pruneShortChosen(db, nowMs - shortChosenKeptMs, most),
    await pruneCutoffs(db, nowMs - keptMs, most),
    await pruneSettlements(db, nowMs - keptMs, most),
    await pruneMakings(db, nowMs - makingsKeptMs, most),
    await pruneAlerts(db, { alertsBeforeMs: nowMs - alertsKeptMs, thresholdsBeforeMs: nowMs - keptMs }, most),
  ]
  return pruned.some(count => count >= most)
}
