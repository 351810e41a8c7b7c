import { Budget, isPerChosen, type MetBudgets, type MetBudgetsRequest } from '@sluice/contracts'
import type { Window, windowAt } from '@sluice/leases'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import { type CountedBudget, copyOf } from './budget.ts'
import { fromRow, toDocument } from './budget-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { dimensionsOf } from './spend-fact.ts'
import { sumFactsOfCopy } from './spend-fact-store.ts'
import { listStopsBetween } from './stop-store.ts'
import { findCopy } from './told-apart-store.ts'
import { findBegin } from './window-store.ts'

/** So long it is summed what budgets had spent: of those that are left then nothing is said. */
const sumPatienceMs = 1_500

/** The budgets and stops that a call met when it came, as they were then: deleted ones too. */
export async function findMetBudgets(
  db: Kysely<BudgetTables>,
  request: MetBudgetsRequest,
  findWindow: typeof windowAt,
): Promise<MetBudgets> {
  const { identity, admitted_at_ms: atMs, ended_at_ms: endedAtMs } = request
  const place = { accountId: identity.account_id, projectId: identity.project_id }
  const dimensions = dimensionsOf(request)
  const until = performance.now() + sumPatienceMs
  const budgets: MetBudgets['budgets'] = []
  for (const { counted, past } of await listBudgetsAt(db, place, atMs)) {
    const said = copyOf(past, dimensions)
    if (said === undefined || past.except?.includes(said)) continue
    const window = findWindow(past.window, past.time_zone, atMs)
    const copy = isPerChosen(past)
      ? await findCopy(db, { budgetId: past.budget_id, copy: said, window, amount: 0n })
      : said
    const begunAtMs = await findBegin(db, { budgetId: counted.budget_id, copy, window }, atMs)
    const counting = { ...counted, countsFromMs: Math.max(counted.countsFromMs, begunAtMs) }
    const spent = await spentBefore(db, counting, { copy, window, atMs, patienceMs: until - performance.now() })
    budgets.push({
      budget: past,
      copy,
      window_start_ms: window.startMs,
      ...(window.endMs === undefined ? {} : { window_end_ms: window.endMs }),
      ...(spent === undefined ? {} : { spent_before: spent.toString() }),
    })
  }
  const stops = await listStopsBetween(db, place.projectId, atMs, endedAtMs)
  return { budgets, stops: stops.filter(stop => copyOf(stop, dimensions) !== undefined) }
}

/** Budgets under a project and under its account that stood at a time, by id, as the next change found them. */
async function listBudgetsAt(
  db: Kysely<BudgetTables>,
  { accountId, projectId }: { accountId: string; projectId: string },
  atMs: number,
): Promise<{ counted: CountedBudget; past: Budget }[]> {
  const rows = await db
    .selectFrom('budgets_in_force')
    .selectAll()
    .select(eb =>
      eb
        .selectFrom('audit_entries as later')
        .select('later.before')
        .whereRef('later.budget_id', '=', 'budgets_in_force.budget_id')
        .where('later.at_ms', '>', String(atMs))
        .where('later.before', 'is not', null)
        .orderBy('later.id')
        .limit(1)
        .as('before'),
    )
    .where(eb =>
      eb.or([
        eb('project_id', '=', projectId),
        eb.and([eb('account_id', '=', accountId), eb('project_id', 'is', null)]),
      ]),
    )
    .where('created_at_ms', '<=', String(atMs))
    .where(eb => eb.or([eb('deleted_at_ms', 'is', null), eb('deleted_at_ms', '>', String(atMs))]))
    .orderBy('budget_id')
    .execute()
  return rows.map(({ before, ...row }) => {
    const counted = fromRow(row)
    return { counted, past: before === null ? toDocument(counted) : Budget.check(before) }
  })
}

/** What came before a call in its window; undefined: it takes too long to say. */
async function spentBefore(
  db: Kysely<BudgetTables>,
  budget: CountedBudget,
  { copy, window, atMs, patienceMs }: { copy: string; window: Window; atMs: number; patienceMs: number },
): Promise<bigint | undefined> {
  if (patienceMs < 1 || budget.unit === 'concurrent') return undefined
  try {
    return await db.transaction().execute(async trx => {
      await sql`select set_config('statement_timeout', ${String(Math.ceil(patienceMs))}, true)`.execute(trx)
      return await sumFactsOfCopy(trx, budget, copy, { startMs: window.startMs, endMs: atMs })
    })
  } catch (error) {
    if (isCancelled(error)) return undefined
    throw error
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57014'
}
