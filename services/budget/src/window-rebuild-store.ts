import { type Cutoff, isPerChosen } from '@sluice/contracts'
import type { windowAt } from '@sluice/leases'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import { type BudgetParent, type CountedBudget, parentOf, type WindowSum, windowKey } from './budget.ts'
import { listAllBudgets } from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import { crossLimits } from './cross-limits-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { sumFactsByQuarter } from './spend-fact-store.ts'
import { tellApart } from './told-apart-store.ts'
import { addToWindows, listCountedSince } from './window-store.ts'

/** What making windows equal to their facts has changed. */
export interface RebuiltWindows {
  corrected: number
  cutoffs: Cutoff[]
  copies: { budgetId: string; copy: string }[]
}

/** Windows that are short, and many, are made again for the last two days: nobody asks for older ones. */
const shortSpanMs = 2 * 86_400_000

function areMany(budget: CountedBudget): boolean {
  return budget.window === 'minute' || (budget.window === 'hour' && isPerChosen(budget))
}

export async function listBudgetIds(db: Kysely<BudgetTables>): Promise<{ parent: BudgetParent; budgetId: string }[]> {
  return (await listAllBudgets(db)).map(budget => ({ parent: parentOf(budget), budgetId: budget.budget_id }))
}

/**
 * Makes the windows of one budget what its facts say, in one transaction that usage of its parent waits for. A window that
 * began before `factsSinceMs` is never lowered: part of what it counted is forgotten.
 */
export function rebuildWindows(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  budgetId: string,
  findWindow: typeof windowAt,
  nowMs: number,
  factsSinceMs: number,
): Promise<RebuiltWindows> {
  return changeUnder(db, parent, async trx => {
    const budget = (await listAllBudgets(trx)).find(one => one.budget_id === budgetId)
    if (!budget) return { corrected: 0, cutoffs: [], copies: [] }
    const sinceMs = areMany(budget) ? nowMs - shortSpanMs : factsSinceMs
    const isWhole = (window: WindowSum['window']) => Math.max(window.startMs, budget.countsFromMs) >= sinceMs
    const differences = new Map<string, WindowSum>()
    const add = (copy: string, window: WindowSum['window'], amount: bigint) => {
      const key = windowKey(budgetId, copy, window.startMs)
      const known = differences.get(key)
      if (known) known.amount += amount
      else differences.set(key, { budgetId, copy, window, amount })
    }
    for (const { copy, atMs, amount } of await sumFactsByQuarter(trx, budget, Math.max(sinceMs, budget.countsFromMs)))
      add(copy, findWindow(budget.window, budget.time_zone, atMs), amount)
    const counted = [...differences.values()].sort((a, b) => (a.amount > b.amount ? -1 : 1))
    differences.clear()
    for (const { copy, window, amount } of await tellApart(trx, [budget], counted, nowMs)) add(copy, window, amount)
    for (const held of await listCountedSince(trx, budgetId, sinceMs)) add(held.copy, held.window, -held.amount)
    const wrong = [...differences]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, sum]) => sum)
      .filter(sum => sum.amount > 0n || (sum.amount < 0n && isWhole(sum.window)))
    const windows = await addToWindows(trx, wrong, nowMs)
    const spent = windows.map(window => ({ budget, window }))
    const cutoffs = await crossLimits(trx, new Map([[budgetId, budget]]), { suspects: windows, spent }, nowMs)
    return {
      corrected: wrong.length,
      cutoffs,
      copies: windows.map(window => ({ budgetId, copy: window.copy })),
    }
  })
}

/** Sums of all facts by hour of admission and project: what budgets of money have settled. */
export async function listFactHours(
  db: Kysely<BudgetTables>,
  query: { fromMs: number; toMs: number; after: { hourMs: number; projectId: string } | undefined; limit: number },
): Promise<{ project_id: string; hour_ms: number; events: number; cost_nano_usd: string }[]> {
  const { fromMs, toMs, after, limit } = query
  const from = after === undefined ? fromMs : Math.max(fromMs, after.hourMs)
  const { rows } = await sql<{ project_id: string; hour_ms: string; events: string; cost: string }>`
    select project_id, hour_ms, events, cost from (
      select project_id, admitted_at_ms - admitted_at_ms % 3600000 as hour_ms, count(*) as events, sum(nano_usd) as cost
      from spend_facts where admitted_at_ms >= ${from} and admitted_at_ms < ${toMs} group by 1, 2) hours
    where ${after === undefined ? sql`true` : sql`(hour_ms, project_id) > (${after.hourMs}::bigint, ${after.projectId}::uuid)`}
    order by hour_ms, project_id limit ${limit}`.execute(db)
  return rows.map(row => ({
    project_id: row.project_id,
    hour_ms: Number(row.hour_ms),
    events: Number(row.events),
    cost_nano_usd: row.cost,
  }))
}
