import { type Cutoff, cutoffKey } from '@sluice/contracts'
import { type Statement, type Transaction, together } from '@sluice/postgres'
import {
  claimThresholds,
  draftAlerts,
  findReached,
  insertAlerts,
  type SpentWindow,
  selectHearers,
} from './alerts/fire-alerts-store.ts'
import { type CountedBudget, parentOf, type WindowState } from './budget.ts'
import { decideCutoff } from './cutoff.ts'
import { lockCutoffs, putCutoffs, toCutoffs } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'

/** Windows as they are with this transaction. */
export interface ChangedWindows {
  /** That may have crossed their limit, in either direction. */
  suspects: readonly WindowState[]
  /** That may have reached thresholds, of which people are told. */
  spent: readonly SpentWindow[]
}

/**
 * Decides for windows whether calls are cut off, and writes what changes, with KV's copy in the outbox; tells people of thresholds,
 * each once for a copy and a window.
 *
 * @returns new versions of cutoffs, to be pushed after the commit
 */
export async function crossLimits(
  trx: Transaction<BudgetTables>,
  budgets: ReadonlyMap<string, CountedBudget>,
  changed: ChangedWindows,
  nowMs: number,
): Promise<Cutoff[]> {
  const { cutoffs, writes } = await decideCrossings(trx, budgets, changed, nowMs)
  await together(trx, writes)
  return cutoffs
}

/** What {@link crossLimits} does, but for its writes. A cutoff waits for this: what is read goes together, and what is written may go with the commit. */
export async function decideCrossings(
  trx: Transaction<BudgetTables>,
  budgets: ReadonlyMap<string, CountedBudget>,
  { suspects, spent }: ChangedWindows,
  nowMs: number,
): Promise<{ cutoffs: Cutoff[]; writes: Statement<unknown>[] }> {
  const reached = findReached(spent, nowMs)
  if (suspects.length === 0 && reached.length === 0) return { cutoffs: [], writes: [] }
  const [locked, claimed, hearers] = await together(trx, [
    lockCutoffs(suspects),
    claimThresholds(reached, nowMs),
    selectHearers(reached.map(({ budget }) => parentOf(budget))),
  ])
  const cutoffs = decideCutoffs(budgets, suspects, toCutoffs(locked), nowMs)
  const alerts = draftAlerts(reached, claimed)
  return { cutoffs, writes: [...putCutoffs(trx, cutoffs), ...insertAlerts(alerts, hearers, nowMs)] }
}

function decideCutoffs(
  budgets: ReadonlyMap<string, CountedBudget>,
  windows: readonly WindowState[],
  held: Map<string, Cutoff>,
  nowMs: number,
): Cutoff[] {
  const changed: Cutoff[] = []
  for (const window of windows) {
    const budget = budgets.get(window.budgetId)
    const key = cutoffKey(window.budgetId, window.copy)
    const cutoff = budget && decideCutoff(budget, window, held.get(key), nowMs)
    if (!cutoff) continue
    held.set(key, cutoff)
    changed.push(cutoff)
  }
  return changed
}
