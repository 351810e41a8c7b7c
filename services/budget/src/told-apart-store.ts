import { type Budget, isPerChosen, isPlaceless, mostToldApart, otherCopy, unclaimed } from '@sluice/contracts'
import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { type CountedBudget, type WindowSum, windowKey } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'
import type { PoolName } from './homes/command.ts'
import { isChosenOf } from './window-store.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** Sums by the copies that they count in, in the order in which windows are locked. New values get a copy in the order given. */
export async function tellApart(
  trx: Transaction<BudgetTables>,
  budgets: readonly CountedBudget[],
  sums: readonly WindowSum[],
  nowMs: number,
): Promise<WindowSum[]> {
  const chosen = new Set(budgets.filter(isPerChosen).map(budget => budget.budget_id))
  const asked = chosen.size === 0 ? [] : sums.filter(({ budgetId }) => chosen.has(budgetId))
  if (asked.length === 0) return [...sums]
  const others = await nameCopies(trx, asked, nowMs)
  const told = new Map<string, WindowSum>()
  for (const sum of sums) {
    const copy = others.has(keyOf(sum)) ? otherCopy : sum.copy
    const key = windowKey(sum.budgetId, copy, sum.window.startMs)
    const known = told.get(key)
    if (known) known.amount += sum.amount
    else told.set(key, { ...sum, copy })
  }
  return [...told].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum)
}

/**
 * Values of what callers choose are told apart by one list, which gateways and this service must read alike: the copies that have
 * a window. Whoever needs a copy makes its row of `budget_windows` here, under a lock of the budget, while fewer than
 * {@link mostToldApart} are there beside those that need no place (`isPlaceless`). A row that has counted anything is never taken away
 * while its window runs, so a value that has used its copy keeps it: what is counted, leased and counted again finds the same copy. One
 * that has counted nothing, and of which nothing is held, is taken out again (`freePlaces`): a place costs what a call costs.
 *
 * Gateways have the list as KV `budget-windows`, a document for each copy; that of {@link otherCopy} says whether the list is `full`.
 * While it is not, a gateway does not know of a value that is new to it, and need not: of a hard budget it has to ask a home for
 * its money anyway, which says that there is no copy for it, and of a soft one nothing is held.
 *
 * The list is of a window and not of the budget for good: sessions and agents come and go, and those of tomorrow are told apart
 * again. What an invented value can cost is the same, since limits are of a window, too.
 *
 * @param windows whose copies are values that are to have one, the first first
 * @returns by `windowKey`, those that share one
 */
export async function nameCopies(
  trx: Transaction<BudgetTables>,
  windows: readonly WindowSum[],
  nowMs: number,
): Promise<Set<string>> {
  const asked = windows.filter(({ copy }) => !isPlaceless(copy))
  const before = await listUnnamed(trx, asked)
  // What is taken back of a value without a copy was counted in the shared one.
  const open = before.filter(({ isFull, window }) => !isFull && window.amount >= 0n).map(({ window }) => window)
  if (open.length === 0) return new Set(before.map(({ window }) => keyOf(window)))
  const budgetIds = [...new Set(open.map(({ budgetId }) => budgetId))].sort()
  await sql`select pg_advisory_xact_lock(hashtextextended('copies of ' || budget_id, 0))
    from unnest(${budgetIds}::text[]) with ordinality as wanted(budget_id, position) order by position`.execute(trx)
  await sql`
    with asked as (${askedFor(open)}),
      missing as (
        select *, row_number() over (partition by budget_id, window_start_ms order by position) as number from asked
        where not exists (${rowOf('asked')})),
      known as (${countKnown('missing')})
    insert into budget_windows (budget_id, copy, window_start_ms, window_end_ms, spent, updated_at_ms)
    select budget_id, copy, window_start_ms, window_end_ms, 0, ${nowMs}::bigint
    from missing left join known using (budget_id, window_start_ms)
    where coalesce(copies, 0) + number <= ${mostToldApart}
    order by budget_id, copy, window_start_ms on conflict do nothing`.execute(trx)
  return new Set((await listUnnamed(trx, asked)).map(({ window }) => keyOf(window)))
}

/** Takes windows out of which nothing is counted or held, so that other values get their places. @returns those that were taken out */
export async function freePlaces(trx: Transaction<BudgetTables>, pools: readonly PoolName[]): Promise<PoolName[]> {
  const { rows } = await sql<{ budget_id: string; copy: string; window_start_ms: string }>`
    delete from budget_windows w using unnest(${pools.map(({ budgetId }) => budgetId)}::text[],
      ${pools.map(({ copy }) => copy)}::text[], ${pools.map(({ windowStartMs }) => windowStartMs)}::bigint[])
      as unused(budget_id, copy, window_start_ms)
    where (w.budget_id, w.copy, w.window_start_ms) = (unused.budget_id, unused.copy, unused.window_start_ms)
      and ${isUnused}
      and not exists (select from leases l where l.budget_id = w.budget_id and l.copy = w.copy
        and l.window_start_ms = w.window_start_ms and l.state <> 'closed')
    returning w.budget_id, w.copy, w.window_start_ms`.execute(trx)
  return rows.map(toPoolName)
}

function toPoolName(row: { budget_id: string; copy: string; window_start_ms: string }): PoolName {
  return { budgetId: row.budget_id, copy: row.copy, windowStartMs: Number(row.window_start_ms) }
}

/** Whoever a place is made for has got what it needs, or was refused, long before. */
const unusedForMs = 60_000
/** So many are freed at a time; the next time has the rest. */
const mostFreed = 5_000

/**
 * Frees places in running windows that have been of no use for a minute: a service that stops between making one and granting of it
 * leaves it taken. @returns those that were freed
 */
export function freeUnusedPlaces(db: Kysely<BudgetTables>, nowMs: number): Promise<PoolName[]> {
  return transact(db, async trx => {
    // Nobody is waited for: a row that is locked is of use to somebody.
    const { rows } = await sql<{ budget_id: string; copy: string; window_start_ms: string }>`
      select w.budget_id, w.copy, w.window_start_ms from budgets b join budget_windows w using (budget_id)
      where ${isChosenOf('b')} and b.deleted_at_ms is null
        and w.window_start_ms > ${nowMs}::bigint - (${longestMs}::jsonb ->> b.window_kind)::bigint
        and coalesce(w.window_end_ms > ${nowMs}, true) and not ${isPlacelessCopy} and ${isUnused}
        and w.updated_at_ms < ${nowMs - unusedForMs}
      limit ${mostFreed} for update of w skip locked`.execute(trx)
    return rows.length === 0 ? [] : freePlaces(trx, rows.map(toPoolName))
  })
}

const dayMs = 86_400_000
/** Each kind of window has begun so long ago at most, in any time zone: what lies further back is not looked through. */
const longestMs = JSON.stringify({
  minute: 120_000,
  hour: 2 * 3_600_000,
  day: 2 * dayMs,
  week: 8 * dayMs,
  month: 32 * dayMs,
  quarter: 93 * dayMs,
  total: Number.MAX_SAFE_INTEGER,
} satisfies Record<Budget['window'], number>)

/** Of windows `w`: nothing is counted in it, or held of it by what is in its row. */
const isUnused = sql`w.spent = 0 and w.forgiven = 0 and w.leased_settled = 0 and w.unresolved = 0 and w.outstanding = 0`

/** Those that have no copy of their own yet, and whether none is left for them. */
async function listUnnamed(
  db: Reader,
  windows: readonly WindowSum[],
): Promise<{ window: WindowSum; isFull: boolean }[]> {
  if (windows.length === 0) return []
  const { rows } = await sql<{ position: string; is_full: boolean }>`
    with asked as (${askedFor(windows)}),
      missing as materialized (select * from asked where not exists (${rowOf('asked')})),
      known as (${countKnown('missing')})
    select position, coalesce(copies, 0) >= ${mostToldApart} as is_full
    from missing left join known using (budget_id, window_start_ms)`.execute(db)
  return rows.flatMap(row => {
    const window = windows[Number(row.position) - 1]
    return window ? [{ window, isFull: row.is_full }] : []
  })
}

const askedFor = (windows: readonly WindowSum[]) => sql`
  select * from unnest(${windows.map(({ budgetId }) => budgetId)}::text[], ${windows.map(({ copy }) => copy)}::text[],
    ${windows.map(({ window }) => window.startMs)}::bigint[], ${windows.map(({ window }) => window.endMs ?? null)}::bigint[])
    with ordinality as asked(budget_id, copy, window_start_ms, window_end_ms, position)`

const rowOf = (table: string) => sql`select from budget_windows w where w.budget_id = ${sql.ref(`${table}.budget_id`)}
  and w.copy = ${sql.ref(`${table}.copy`)} and w.window_start_ms = ${sql.ref(`${table}.window_start_ms`)}`

const countKnown = (table: string) => sql`
  select budget_id, window_start_ms, count(*) as copies
  from (select distinct budget_id, window_start_ms from ${sql.table(table)}) named
    join budget_windows w using (budget_id, window_start_ms)
  where not ${isPlacelessCopy} group by 1, 2`

/** Of windows `w`. */
const isPlacelessCopy = sql`w.copy in (${otherCopy}, ${unclaimed})`

/** Which copy a value had, or would have got, in a window. */
export async function findCopy(db: Reader, named: WindowSum): Promise<string> {
  const [unnamed] = await listUnnamed(db, isPlaceless(named.copy) ? [] : [named])
  return unnamed?.isFull ? otherCopy : named.copy
}

function keyOf({ budgetId, copy, window }: WindowSum): string {
  return windowKey(budgetId, copy, window.startMs)
}
