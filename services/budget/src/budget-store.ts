import { Budget } from '@sluice/contracts'
import { type Kysely, prepared, storableText, type Transaction } from '@sluice/postgres'
import { type ExpressionBuilder, type RawBuilder, type Selectable, sql } from 'kysely'
import type { BudgetParent, CountedBudget, QuotaKind } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/**
 * Lets usage of these parents in, and holds changes of their budgets off, to the end of the transaction. What is read
 * afterwards stays true until then.
 */
export function lockParentsForUsage(parents: readonly BudgetParent[]): RawBuilder<unknown> {
  // One order for all, so that two transactions never wait for each other in a circle.
  const ordered = [...new Set(parents.flatMap(({ accountId, projectId = accountId }) => [accountId, projectId]))].sort()
  return sql`${prepared}select pg_advisory_xact_lock_shared(hashtextextended(parent, 0))
    from unnest(${ordered}::text[]) with ordinality as wanted(parent, position) order by position`
}

/** Holds usage and other changes of a parent's budgets off, to the end of the transaction. */
export async function lockParentForChange(
  trx: Transaction<BudgetTables>,
  { accountId, projectId = accountId }: BudgetParent,
): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${projectId}, 0))`.execute(trx)
}

/** Budgets made under these very parents: those that span projects only where an account stands alone. */
export async function listBudgetsUnder(db: Reader, parents: readonly BudgetParent[]): Promise<CountedBudget[]> {
  if (parents.length === 0) return []
  return (await selectBudgetsUnder(parents).execute(db)).rows.map(fromRow)
}

/**
 * What {@link listBudgetsUnder} reads, as rows for {@link fromRow}. Parents by arrays: what is in force is told by the clock, and would be
 * told of all budgets where they are joined. Each array is asked for, so that its length is unknown and a plan lasts.
 */
export function selectBudgetsUnder(parents: readonly BudgetParent[]): RawBuilder<BudgetRow> {
  const projects = [...new Set(parents.flatMap(({ projectId }) => projectId ?? []))]
  const accounts = [
    ...new Set(parents.flatMap(({ accountId, projectId }) => (projectId === undefined ? accountId : []))),
  ]
  return sql<BudgetRow>`${prepared}
    select ${budgetColumns} from budgets_in_force b
      where b.account_id = any(array(select unnest(${accounts}::text[]))) and b.project_id is null and b.deleted_at_ms is null
    union all
    select ${budgetColumns} from budgets_in_force b
      where b.project_id = any(array(select unnest(${projects}::uuid[]))) and b.deleted_at_ms is null
    order by created_at_ms, budget_id`
}

type BudgetRow = Selectable<BudgetTables['budgets_in_force']>

/** All of them, of budgets that the statement calls `b`. */
const budgetColumns = sql.join(
  [
    'budget_id',
    'version',
    'name',
    'account_id',
    'project_id',
    'scope',
    'per',
    'unit',
    'limit_amount',
    'window_kind',
    'time_zone',
    'mode',
    'on_unknown',
    'created_at_ms',
    'counts_from_ms',
    'deleted_at_ms',
    'hold',
    'limit_in_force',
    'seat_team_id',
    'except_copies',
    'thresholds',
    'forecast_alert',
    'quota_of',
  ].map(name => sql.ref(`b.${name}`)),
)

/** Budgets made under a parent, so many behind an id. */
export async function listBudgetPage(
  db: Reader,
  parent: BudgetParent,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<CountedBudget[]> {
  // What PostgreSQL cannot hold it cannot be asked for either.
  if (after !== undefined && after !== storableText(after)) return []
  let query = db
    .selectFrom('budgets_in_force')
    .selectAll()
    .where(({ eb }) => isUnder(eb, parent))
    .where('deleted_at_ms', 'is', null)
    .orderBy('budget_id')
    .limit(limit)
  if (after !== undefined) query = query.where('budget_id', '>', after)
  return (await query.execute()).map(fromRow)
}

/** The budgets that teams of a project have for their seats. */
export async function listSeatBudgets(db: Reader, projectId: string): Promise<CountedBudget[]> {
  const rows = await db
    .selectFrom('budgets_in_force')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('seat_team_id', 'is not', null)
    .where('deleted_at_ms', 'is', null)
    .execute()
  return rows.map(fromRow)
}

export async function listAllBudgets(db: Reader): Promise<CountedBudget[]> {
  return (await db.selectFrom('budgets_in_force').selectAll().where('deleted_at_ms', 'is', null).execute()).map(fromRow)
}

/** @param parent the budget is made under this very one; that is who may see it */
export async function findBudget(
  db: Reader,
  parent: BudgetParent,
  budgetId: string,
): Promise<CountedBudget | undefined> {
  // What PostgreSQL cannot hold it cannot be asked for either.
  if (budgetId !== storableText(budgetId)) return undefined
  const row = await db
    .selectFrom('budgets_in_force')
    .selectAll()
    .where('budget_id', '=', budgetId)
    .where(({ eb }) => isUnder(eb, parent))
    .where('deleted_at_ms', 'is', null)
    .executeTakeFirst()
  return row && fromRow(row)
}

function isUnder(eb: ExpressionBuilder<BudgetTables, 'budgets_in_force'>, { accountId, projectId }: BudgetParent) {
  return projectId === undefined
    ? eb.and([eb('account_id', '=', accountId), eb('project_id', 'is', null)])
    : eb('project_id', '=', projectId)
}

export async function insertBudget(trx: Transaction<BudgetTables>, budget: CountedBudget): Promise<void> {
  await trx
    .insertInto('budgets')
    .values({
      budget_id: budget.budget_id,
      version: budget.version,
      name: budget.name,
      account_id: budget.account_id,
      project_id: budget.projectId ?? null,
      scope: JSON.stringify(budget.scope),
      per: budget.per ?? null,
      unit: budget.unit,
      limit_amount: budget.ownLimit,
      window_kind: budget.window,
      time_zone: budget.time_zone,
      mode: budget.mode,
      hold: budget.hold ?? null,
      on_unknown: JSON.stringify(budget.on_unknown),
      created_at_ms: budget.created_at_ms,
      counts_from_ms: budget.countsFromMs,
      seat_team_id: budget.seatTeamId ?? null,
      quota_of: budget.quotaOf ?? null,
      except_copies: budget.except ?? [],
      thresholds: [...budget.thresholds],
      forecast_alert: budget.forecastAlert,
    })
    .execute()
}

/** Writes what may change in a budget: name, limit, mode, hold, on_unknown, copies that are excepted, alerts. */
export async function updateBudget(trx: Transaction<BudgetTables>, budget: CountedBudget): Promise<void> {
  await trx
    .updateTable('budgets')
    .set({
      version: budget.version,
      name: budget.name,
      limit_amount: budget.ownLimit,
      mode: budget.mode,
      hold: budget.hold ?? null,
      on_unknown: JSON.stringify(budget.on_unknown),
      except_copies: budget.except ?? [],
      thresholds: [...budget.thresholds],
      forecast_alert: budget.forecastAlert,
    })
    .where('budget_id', '=', budget.budget_id)
    .execute()
}

/** The row stays for what it has spent; it matches nothing any more. */
export async function markBudgetDeleted(trx: Transaction<BudgetTables>, budgetId: string, atMs: number): Promise<void> {
  await trx.updateTable('budgets').set({ deleted_at_ms: atMs }).where('budget_id', '=', budgetId).execute()
}

/** The document that gateways read. */
export function toDocument(budget: CountedBudget): Budget {
  const {
    projectId: _projectId,
    countsFromMs: _countsFromMs,
    ownLimit: _ownLimit,
    seatTeamId: _seatTeamId,
    quotaOf: _quotaOf,
    thresholds: _thresholds,
    forecastAlert: _forecastAlert,
    ...document
  } = budget
  return document
}

/** What the audit says of a budget: also what gateways have no use for. */
export function toAudited(budget: CountedBudget): object {
  return { ...toDocument(budget), thresholds: budget.thresholds, forecast_alert: budget.forecastAlert }
}

/** A row, whole or as JSON. */
export function fromRow(row: BudgetRow): CountedBudget {
  const document = Budget.check({
    budget_id: row.budget_id,
    version: row.version,
    name: row.name,
    account_id: row.account_id,
    scope: row.scope,
    ...(row.per === null ? {} : { per: row.per }),
    ...(row.except_copies.length === 0 ? {} : { except: row.except_copies }),
    unit: row.unit,
    limit: Number(row.limit_in_force),
    window: row.window_kind,
    time_zone: row.time_zone,
    mode: row.mode,
    ...(row.hold === null ? {} : { hold: row.hold }),
    on_unknown: row.on_unknown,
    created_at_ms: Number(row.created_at_ms),
  })
  return {
    ...document,
    projectId: row.project_id ?? undefined,
    countsFromMs: Number(row.counts_from_ms),
    ownLimit: Number(row.limit_amount),
    ...(row.seat_team_id === null ? {} : { seatTeamId: row.seat_team_id }),
    ...(row.quota_of === null ? {} : { quotaOf: row.quota_of as QuotaKind }),
    thresholds: row.thresholds,
    forecastAlert: row.forecast_alert,
  }
}
