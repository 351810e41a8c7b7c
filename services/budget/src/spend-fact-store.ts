import {
  type Budget,
  claimedScopeDimensions,
  isPerChosen,
  mostCopyBytes,
  mostToldApart,
  otherCopy,
  type PerDimension,
  splitTag,
  tagOfPer,
  type UsageAdjustedData,
  unclaimed,
} from '@sluice/contracts'
import type { Window } from '@sluice/leases'
import { type Kysely, prepared, type Statement, type Transaction } from '@sluice/postgres'
import { type RawBuilder, type Selectable, sql } from 'kysely'
import type { CountedBudget } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'
import type { Dimensions, SpendFact } from './spend-fact.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>
type FactRow = Selectable<BudgetTables['spend_facts']>

const columnOf = {
  account: 'account_id',
  project: 'project_id',
  team: 'team_id',
  member: 'member_id',
  service_account: 'service_account_id',
  key: 'key_id',
  room: 'room',
  participant: 'participant',
  model: 'model',
  provider: 'provider',
  app: 'app',
  session: 'session_id',
  agent: 'agent_id',
} as const satisfies Record<Exclude<keyof Budget['scope'], 'tag'>, keyof BudgetTables['spend_facts']>

const amountColumns: Record<Budget['unit'], { all: RawBuilder<unknown>; byLeases: RawBuilder<unknown> }> = {
  usd: { all: sql`nano_usd`, byLeases: sql`recorded_nano_usd` },
  tokens: { all: sql`tokens`, byLeases: sql`recorded_tokens` },
  requests: { all: sql`requests`, byLeases: sql`requests` },
  concurrent: { all: sql`0`, byLeases: sql`0` },
}

/** What a fact counts in a budget beside its leases. */
function amountColumn({ unit, budget_id: budgetId }: CountedBudget): RawBuilder<unknown> {
  const { all, byLeases } = amountColumns[unit]
  return sql`(${all} - case when ${budgetId} = any(held_budgets) then ${byLeases} else 0 end)`
}

/** Keeps facts. @returns the ids of those that were not kept before */
export function insertFacts(facts: readonly SpendFact[]): Statement<{ event_id: string }> {
  const rows = JSON.stringify(facts.map(toRow))
  return sql<{ event_id: string }>`${prepared}
    insert into spend_facts select * from jsonb_populate_recordset(null::spend_facts, ${rows}::jsonb)
    on conflict (event_id) do nothing returning event_id`
}

/** The facts of these events, locked. */
export async function lockFacts(
  trx: Transaction<BudgetTables>,
  adjustments: readonly UsageAdjustedData[],
): Promise<Map<string, SpendFact>> {
  const ids = [...new Set(adjustments.map(adjustment => adjustment.event_id))].sort()
  if (ids.length === 0) return new Map()
  const rows = await trx
    .selectFrom('spend_facts')
    .selectAll()
    .where('event_id', 'in', ids)
    .orderBy('event_id')
    .forUpdate()
    .execute()
  return new Map(rows.map(row => [row.event_id, fromRow(row)]))
}

/** Writes the amounts and the version of an adjusted fact. */
export async function updateFact(trx: Transaction<BudgetTables>, fact: SpendFact): Promise<void> {
  await trx
    .updateTable('spend_facts')
    .set({ version: fact.version, nano_usd: fact.amounts.nanoUsd, tokens: fact.amounts.tokens })
    .where('event_id', '=', fact.eventId)
    .execute()
}

/** What facts say a budget has spent in a window, per copy; of what callers choose, those told apart that have spent most. */
export async function sumFacts(
  db: Reader,
  budget: CountedBudget,
  window: Window,
): Promise<{ copy: string; amount: bigint }[]> {
  const { copy, counts } = matchingFacts(budget)
  const fromMs = Math.max(window.startMs, budget.countsFromMs)
  const sums = sql`
    select ${copy} as copy, sum(${amountColumn(budget)})::numeric as amount from spend_facts
    where admitted_at_ms >= ${fromMs} and admitted_at_ms < ${window.endMs ?? Number.MAX_SAFE_INTEGER} and ${counts}
    group by 1 having sum(${amountColumn(budget)}) <> 0`
  const { rows } = await sql<{ copy: string; amount: string }>`${isPerChosen(budget) ? mostSpent(sums) : sums}`.execute(
    db,
  )
  return rows.map(row => ({ copy: row.copy, amount: BigInt(row.amount) }))
}

/** The rest is one sum: values may be as many as calls. */
function mostSpent(sums: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    with sums as (${sums}),
      ranked as (select *, row_number() over (order by copy in (${otherCopy}, ${unclaimed}), amount desc, copy) as rank from sums)
    select case when rank <= ${mostToldApart} or copy = ${unclaimed} then copy else ${otherCopy} end as copy, sum(amount) as amount from ranked
    group by 1 order by min(rank)`
}

/** What one copy of a budget has been used by calls admitted in a span, whether leases count them or not. */
export async function sumFactsOfCopy(db: Reader, budget: CountedBudget, copy: string, span: Window): Promise<bigint> {
  const { copy: copyColumn, counts } = matchingFacts(budget)
  const fromMs = Math.max(span.startMs, budget.countsFromMs)
  const { rows } = await sql<{ amount: string }>`
    select coalesce(sum(${amountColumns[budget.unit].all}), 0)::numeric as amount from spend_facts
    where admitted_at_ms >= ${fromMs} and admitted_at_ms < ${span.endMs ?? Number.MAX_SAFE_INTEGER}
      and ${counts} and ${isPerChosen(budget) ? countsIn(budget, copy, copyColumn, span) : sql`${copyColumn} = ${copy}`}`.execute(
    db,
  )
  return BigInt(rows[0]?.amount ?? '0')
}

/** The copy of all others counts what has none of its own. */
function countsIn(budget: CountedBudget, copy: string, said: RawBuilder<unknown>, { startMs }: Window) {
  if (copy !== otherCopy) return sql`${said} = ${copy}`
  return sql`${said} <> ${unclaimed} and not exists (select from budget_windows w where w.budget_id = ${budget.budget_id} and w.copy = ${said}
    and w.copy <> ${otherCopy} and w.window_start_ms = ${startMs})`
}

/**
 * What facts say a budget has spent since a time, per copy and quarter of an hour; per minute where its windows are minutes.
 * No window of any time zone begins within one of these.
 */
export async function sumFactsByQuarter(
  db: Reader,
  budget: CountedBudget,
  fromMs: number,
): Promise<{ copy: string; atMs: number; amount: bigint }[]> {
  const { copy, counts } = matchingFacts(budget)
  const stepMs = budget.window === 'minute' ? 60_000 : 900_000
  const { rows } = await sql<{ copy: string; at_ms: string; amount: string }>`
    select ${copy} as copy, min(admitted_at_ms) as at_ms, sum(${amountColumn(budget)})::numeric as amount
    from spend_facts where admitted_at_ms >= ${fromMs} and ${counts}
    group by 1, admitted_at_ms / ${stepMs}::bigint having sum(${amountColumn(budget)}) <> 0`.execute(db)
  return rows.map(row => ({ copy: row.copy, atMs: Number(row.at_ms), amount: BigInt(row.amount) }))
}

/** The copy that a fact counts in, and whether it counts in this budget at all. */
function matchingFacts(budget: CountedBudget): { copy: RawBuilder<unknown>; counts: RawBuilder<unknown> } {
  const scope = Object.entries(budget.scope) as [keyof Budget['scope'], string | undefined][]
  const conditions = scope.flatMap(([name, value]) => (value === undefined ? [] : [isIn(name, value)]))
  const copy = copyColumn(budget)
  const parent =
    budget.projectId === undefined ? sql`account_id = ${budget.account_id}` : sql`project_id = ${budget.projectId}`
  return {
    copy,
    counts: sql`${parent} and ${copy} is not null and ${sql.join([sql`true`, ...conditions], sql` and `)}`,
  }
}

/** As `copyOf` says it. */
function copyColumn(budget: CountedBudget): RawBuilder<unknown> {
  const { per } = budget
  if (per === undefined) return sql`''`
  const tag = tagOfPer(per)
  const value =
    tag === undefined
      ? sql`${sql.ref(columnOf[per as Exclude<PerDimension, `tag:${string}`>])}::text`
      : sql`(tags ->> ${tag}::text)`
  return isPerChosen(budget)
    ? sql`case when octet_length(${value}) > ${mostCopyBytes}::int then ${otherCopy}::text
        else coalesce(nullif(${value}, ''), ${unclaimed}::text) end`
    : value
}

function isIn(name: keyof Budget['scope'], value: string): RawBuilder<unknown> {
  if (name === 'tag') {
    const tag = splitTag(value)
    return sql`tags ->> ${tag.name}::text = ${tag.value}`
  }
  const column = sql.ref(columnOf[name])
  return claimedNames.has(name) ? sql`coalesce(${column}, ${unclaimed}) = ${value}` : sql`${column}::text = ${value}`
}

const claimedNames: ReadonlySet<string> = new Set(claimedScopeDimensions)

/** Forgets facts admitted before `beforeMs`. @returns how many; call again while it is `most` */
export async function pruneFacts(db: Reader, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from spend_facts where ctid = any(array(
    select ctid from spend_facts where admitted_at_ms < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}

function toRow(fact: SpendFact) {
  const { dimensions } = fact
  return {
    event_id: fact.eventId,
    project_id: fact.projectId,
    account_id: dimensions.account,
    team_id: dimensions.team,
    member_id: dimensions.member,
    service_account_id: dimensions.service_account,
    key_id: dimensions.key,
    room: dimensions.room,
    participant: dimensions.participant,
    model: dimensions.model,
    provider: dimensions.provider,
    app: dimensions.app,
    session_id: dimensions.session,
    agent_id: dimensions.agent,
    tags: dimensions.tags,
    admitted_at_ms: fact.admittedAtMs,
    seat: fact.seat,
    version: fact.version,
    nano_usd: fact.amounts.nanoUsd,
    tokens: fact.amounts.tokens,
    requests: fact.amounts.requests,
    held_budgets: fact.held.budgets,
    unresolved_leases: fact.held.unresolvedLeases,
    recorded_nano_usd: fact.held.recorded.nanoUsd,
    recorded_tokens: fact.held.recorded.tokens,
  }
}

function fromRow(row: FactRow): SpendFact {
  const dimensions: Dimensions = {}
  for (const [name, column] of Object.entries(columnOf) as [
    keyof typeof columnOf,
    (typeof columnOf)[keyof typeof columnOf],
  ][]) {
    const value = row[column]
    if (value !== null) dimensions[name] = value
  }
  if (row.tags !== null) dimensions.tags = row.tags
  return {
    eventId: row.event_id,
    projectId: row.project_id,
    admittedAtMs: Number(row.admitted_at_ms),
    dimensions,
    seat: row.seat,
    version: row.version,
    amounts: { nanoUsd: Number(row.nano_usd), tokens: Number(row.tokens), requests: row.requests },
    held: {
      budgets: row.held_budgets,
      unresolvedLeases: row.unresolved_leases,
      recorded: { nanoUsd: Number(row.recorded_nano_usd), tokens: Number(row.recorded_tokens) },
    },
  }
}
