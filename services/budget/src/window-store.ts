import { chosenPerDimensions, mostToldApart, otherCopy, unclaimed } from '@sluice/contracts'
import { type Kysely, prepared, type Transaction } from '@sluice/postgres'
import { type RawBuilder, type Selectable, sql } from 'kysely'
import { toDocumentAmount } from './amount.ts'
import type { WindowState, WindowSum } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** All of them, of windows that the statement calls `w`. */
export const windowColumns = sql.join(
  [
    'budget_id',
    'copy',
    'window_start_ms',
    'window_end_ms',
    'spent',
    'leased_settled',
    'unresolved',
    'outstanding',
    'forgiven',
    'begun_at_ms',
    'updated_at_ms',
  ].map(name => sql.ref(`w.${name}`)),
)

/** Adds sums to their windows, making those that are new. @returns the windows with what they have spent now */
export async function addToWindows(
  trx: Transaction<BudgetTables>,
  sums: readonly WindowSum[],
  nowMs: number,
): Promise<WindowState[]> {
  if (sums.length === 0) return []
  const rows = JSON.stringify(
    sums.map(({ budgetId, copy, window, amount }) => ({
      budget_id: budgetId,
      copy,
      window_start_ms: window.startMs,
      window_end_ms: window.endMs ?? null,
      // As text: a JSON number would lose digits of a large sum.
      amount: amount.toString(),
    })),
  )
  const { rows: changed } = await sql<Selectable<BudgetTables['budget_windows']>>`${prepared}
    insert into budget_windows as w (budget_id, copy, window_start_ms, window_end_ms, spent, updated_at_ms)
    select budget_id, copy, window_start_ms, window_end_ms, amount, ${nowMs}::bigint
    from jsonb_to_recordset(${rows}::jsonb)
      as added(budget_id text, copy text, window_start_ms bigint, window_end_ms bigint, amount numeric)
    order by budget_id, copy, window_start_ms
    on conflict (budget_id, copy, window_start_ms)
      do update set spent = w.spent + excluded.spent, updated_at_ms = excluded.updated_at_ms
    returning ${windowColumns}`.execute(trx)
  return changed.map(fromRow)
}

/** When a window was let begin anew, where that was before an instant; 0: never. */
export async function findBegin(
  db: Reader,
  { budgetId, copy, window }: Omit<WindowSum, 'amount'>,
  beforeMs: number,
): Promise<number> {
  const row = await db
    .selectFrom('budget_windows')
    .select('begun_at_ms')
    .where('budget_id', '=', budgetId)
    .where('copy', '=', copy)
    .where('window_start_ms', '=', String(window.startMs))
    .where('begun_at_ms', '<=', String(beforeMs))
    .executeTakeFirst()
  return Number(row?.begun_at_ms ?? 0)
}

/** The windows of these budgets that have not ended. */
export async function listOpenWindows(db: Reader, budgetIds: readonly string[], nowMs: number): Promise<WindowState[]> {
  if (budgetIds.length === 0) return []
  const rows = await db
    .selectFrom('budget_windows')
    .selectAll()
    .where('budget_id', 'in', [...budgetIds])
    .where(eb => eb.or([eb('window_end_ms', 'is', null), eb('window_end_ms', '>', String(nowMs))]))
    .orderBy('copy')
    .orderBy('window_start_ms')
    .execute()
  return rows.map(fromRow)
}

/** What was counted in every window of a budget that ends after `sinceMs`, or never; what was forgiven of it is in it. */
export async function listCountedSince(db: Reader, budgetId: string, sinceMs: number): Promise<WindowSum[]> {
  const rows = await db
    .selectFrom('budget_windows')
    .selectAll()
    .where('budget_id', '=', budgetId)
    .where(eb => eb.or([eb('window_end_ms', '>', String(sinceMs)), eb('window_end_ms', 'is', null)]))
    .execute()
  return rows.map(row => ({ ...fromRow(row), amount: BigInt(row.spent) }))
}

/** Lets the running window of a copy begin anew: what it has spent, with leases and without, counts no more. */
export async function forgiveSpent(
  trx: Transaction<BudgetTables>,
  { budgetId, copy }: { budgetId: string; copy: string },
  nowMs: number,
): Promise<{ windows: WindowState[]; forgiven: bigint }> {
  const { rows } = await sql<Selectable<BudgetTables['budget_windows']> & { forgiven_now: string }>`
    with before as (
      select * from budget_windows where budget_id = ${budgetId} and copy = ${copy} and window_start_ms <= ${nowMs}
        and (window_end_ms is null or window_end_ms > ${nowMs}) for update)
    update budget_windows w set forgiven = w.spent + w.leased_settled, begun_at_ms = ${nowMs}, updated_at_ms = ${nowMs}
    from before where (w.budget_id, w.copy, w.window_start_ms) = (before.budget_id, before.copy, before.window_start_ms)
    returning w.*, w.forgiven - before.forgiven as forgiven_now`.execute(trx)
  return { windows: rows.map(fromRow), forgiven: rows.reduce((sum, row) => sum + BigInt(row.forgiven_now), 0n) }
}

/** A window as it is published: with when it last changed. */
export interface OpenWindow {
  sum: WindowState
  limit: number
  /** The copy of all that have none of their own, where no value can get one. */
  isFull: boolean
  updatedAtMs: number
}

/** The running windows of all budgets, or of the copies named, with their limits: what gateways show. */
export async function listWindowsToPublish(
  db: Reader,
  nowMs: number,
  copies?: readonly { budgetId: string; copy: string }[],
): Promise<OpenWindow[]> {
  const budgetIds = [...new Set(copies?.map(({ budgetId }) => budgetId))]
  // What is in force is told by the clock: only a list of ids keeps it from being told of every budget.
  const named =
    copies === undefined
      ? sql`true`
      : sql`b.budget_id = any(${budgetIds}::text[]) and (w.budget_id, w.copy) in (select budget_id, copy
          from jsonb_to_recordset(${JSON.stringify(copies.map(({ budgetId, copy }) => ({ budget_id: budgetId, copy })))}::jsonb)
            as named(budget_id text, copy text))`
  const { rows } = await sql<Selectable<BudgetTables['budget_windows']> & { limit_in_force: string; is_full: boolean }>`
    select w.*, b.limit_in_force, w.copy = ${otherCopy} and ${isChosenOf('b')} and (
        select count(*) from budget_windows own where own.budget_id = w.budget_id
          and own.window_start_ms = w.window_start_ms and own.copy not in (${otherCopy}, ${unclaimed})) >= ${mostToldApart} as is_full
    from budget_windows w join budgets_in_force b using (budget_id)
    where b.deleted_at_ms is null and w.window_start_ms <= ${nowMs}
      and (w.window_end_ms is null or w.window_end_ms > ${nowMs}) and ${named}`.execute(db)
  return rows.map(row => ({
    sum: fromRow(row),
    limit: Number(row.limit_in_force),
    isFull: row.is_full,
    updatedAtMs: Number(row.updated_at_ms),
  }))
}

/** Whether a budget has copies for what callers choose, in SQL: as `isPerChosen`. @param table of budgets, by its name in the statement */
export function isChosenOf(table: string): RawBuilder<boolean> {
  const per = sql.ref(`${table}.per`)
  return sql`coalesce(${per} = any(${[...chosenPerDimensions]}::text[]) or starts_with(${per}, 'tag:'), false)`
}

/** Forgets windows that ended before `endMs`, but those of which a lease is open. @returns how many; call again while it is `most` */
export async function pruneWindows(db: Reader, endMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from budget_windows where ctid = any(array(
    select ctid from budget_windows w where window_end_ms < ${endMs} and not exists (select from leases l
      where l.budget_id = w.budget_id and l.copy = w.copy and l.window_start_ms = w.window_start_ms and l.state <> 'closed')
    limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}

/**
 * Forgets windows of a minute or an hour that ended before `endMs`, of budgets with copies for what callers choose, as
 * {@link pruneWindows}: each of these budgets may make a thousand of them each time.
 */
export async function pruneShortChosen(db: Reader, endMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from budget_windows where ctid = any(array(
    select w.ctid from budgets b join budget_windows w using (budget_id)
    where b.window_kind in ('minute', 'hour') and ${isChosenOf('b')} and w.window_start_ms < ${endMs} and w.window_end_ms < ${endMs}
      and not exists (select from leases l where l.budget_id = w.budget_id and l.copy = w.copy
        and l.window_start_ms = w.window_start_ms and l.state <> 'closed')
    limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}

function fromRow(row: Selectable<BudgetTables['budget_windows']>): WindowState {
  return {
    budgetId: row.budget_id,
    copy: row.copy,
    window: {
      startMs: Number(row.window_start_ms),
      endMs: row.window_end_ms === null ? undefined : Number(row.window_end_ms),
    },
    amount: BigInt(row.spent) - BigInt(row.forgiven),
    settled: BigInt(row.leased_settled),
    unresolved: BigInt(row.unresolved),
    outstanding: BigInt(row.outstanding),
  }
}

/** A sum as leases reckon with it. No pool holds more than its limit, which is far below what this holds exactly. */
export function toPoolAmount(amount: bigint | string): number {
  return toDocumentAmount(BigInt(amount))
}

/** Makes windows that leases are to be taken from, where they are new. */
export async function makeWindows(
  db: Kysely<BudgetTables>,
  windows: readonly WindowSum[],
  nowMs: number,
): Promise<void> {
  if (windows.length === 0) return
  await sql`insert into budget_windows (budget_id, copy, window_start_ms, window_end_ms, spent, updated_at_ms)
    select *, 0, ${nowMs}::bigint from unnest(${windows.map(({ budgetId }) => budgetId)}::text[],
      ${windows.map(({ copy }) => copy)}::text[], ${windows.map(({ window }) => window.startMs)}::bigint[],
      ${windows.map(({ window }) => window.endMs ?? null)}::bigint[]) as made(budget_id, copy, window_start_ms, window_end_ms)
    order by budget_id, copy, window_start_ms on conflict do nothing`.execute(db)
}
