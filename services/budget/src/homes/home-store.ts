import { isPerChosen, isPlaceless } from '@sluice/contracts'
import {
  emptyHome,
  type HomeState,
  homeOfBudget,
  type KnownGateway,
  type Lease,
  type Pool,
  poolKey,
} from '@sluice/leases'
import { few, preparedForFew, type Transaction } from '@sluice/postgres'
import { type Selectable, sql } from 'kysely'
import type { CountedBudget } from '../budget.ts'
import { fromRow as budgetOf } from '../budget-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { freePlaces } from '../told-apart-store.ts'
import { toPoolAmount, windowColumns } from '../window-store.ts'
import type { Named, PoolName, RunPart } from './command.ts'

/** What of a home a batch needs, as the database has it. Its windows are locked. */
export interface LoadedHome {
  state: HomeState
  /** Budgets that are named, deleted ones left out. */
  budgets: Map<string, CountedBudget>
  windowEnds: Map<string, number | undefined>
  /** Since when attempts are unresolved, by lease. */
  unresolvedSince: Map<string, ReadonlyMap<string, number>>
  /** When each gateway has last named all that it has, and it was known. */
  listedAt: Map<string, number>
}

type LeaseRow = Selectable<BudgetTables['leases']>

/** Loads what commands name. The home is locked by the caller. */
export async function loadHome(trx: Transaction<BudgetTables>, home: number, names: Named): Promise<LoadedHome> {
  const state = emptyHome()
  const unresolvedSince = new Map<string, ReadonlyMap<string, number>>()
  const pools = new Map<string, PoolName>()
  for (const pool of names.pools) pools.set(poolKey(pool.budgetId, pool.copy, pool.windowStartMs), pool)
  const named = await readNamed(trx, home, names)
  const missing = new Set(named.missing)
  for (const [place, { gatewayId, leaseId }] of names.said.entries())
    if (!missing.has(place)) state.held.set(leaseId, gatewayId)
  for (const row of named.leases) {
    const { lease, since } = fromRow(row)
    state.leases.set(lease.leaseId, lease)
    unresolvedSince.set(lease.leaseId, since)
    pools.set(lease.pool, { budgetId: row.budget_id, copy: row.copy, windowStartMs: Number(row.window_start_ms) })
  }
  const budgets = new Map<string, CountedBudget>()
  const limits = new Map<string, number>()
  for (const row of named.budgets) {
    const budget = budgetOf(row)
    limits.set(budget.budget_id, budget.limit)
    if (row.deleted_at_ms === null && homeOfBudget(budget) === home) budgets.set(budget.budget_id, budget)
  }
  const windowEnds = new Map<string, number | undefined>()
  // A hello names leases of all homes: what is another's is passed over.
  const leased = new Set([...state.leases.values()].map(({ pool }) => pool))
  const own = [...pools].filter(([key, { budgetId }]) => leased.has(key) || budgets.has(budgetId))
  for (const row of await lockWindowRows(
    trx,
    own.map(([, pool]) => pool),
  )) {
    const pool = toPool(row, limits.get(row.budget_id) ?? 0)
    state.pools.set(pool.key, pool)
    windowEnds.set(pool.key, row.window_end_ms === null ? undefined : Number(row.window_end_ms))
  }
  // Its window was forgotten with the year it was in: so is the lease.
  for (const [leaseId, { pool }] of state.leases)
    if (!state.pools.has(pool)) {
      state.leases.delete(leaseId)
      state.held.delete(leaseId)
    }
  const listedAt = new Map<string, number>()
  for (const row of named.gateways) {
    state.gateways.set(row.gateway_id, {
      gatewayId: row.gateway_id,
      epoch: Number(row.epoch),
      heardAtMs: Number(row.heard_at_ms),
    })
    listedAt.set(row.gateway_id, Number(row.listed_at_ms))
  }
  return { state, budgets, windowEnds, unresolvedSince, listedAt }
}

interface NamedRows {
  leases: LeaseRow[]
  /** Of these leases, and those that are named themselves; deleted ones too. */
  budgets: Selectable<BudgetTables['budgets_in_force']>[]
  /** All that the home has heard of. */
  gateways: { gateway_id: string; epoch: string; heard_at_ms: string; listed_at_ms: string }[]
  /** What a gateway says that it has, and has not, at its place in `said`. */
  missing: number[]
}

/**
 * One statement: each costs more on the way than for what it reads. Budgets by an array: what is in force is told by the clock, and
 * would be told of all of them where they are joined. Of thousands of leases that are listed again, only those are loaded of which one
 * of the lists says something new: that it has not got it, or that it still has what is silent.
 */
async function readNamed(trx: Transaction<BudgetTables>, home: number, names: Named): Promise<NamedRows> {
  const { said } = names
  const budgetIds = new Set(names.pools.map(({ budgetId }) => budgetId))
  const leaseIds = [...new Set(names.leaseIds)]
  const openIn = (parts: readonly RunPart[]) => sql`select leases.* from unnest(
      ${parts.map(part => part.gatewayId)}::text[], ${parts.map(part => part.epoch)}::bigint[],
      ${parts.map(part => part.fromSeq)}::bigint[], ${parts.map(part => part.belowSeq)}::bigint[])
      with ordinality as part(gateway, epoch, from_seq, below_seq, place)
    join leases on home = ${home} and leases.gateway_id = part.gateway and leases.epoch = part.epoch
      and ask_seq >= from_seq and ask_seq < below_seq and state <> 'closed'`
  // Most name a few leases by their ids alone: these are planned once. Runs have any length, and are planned for what they are.
  const hasRuns = names.runs.length + names.listed.length > 0
  const { rows } =
    await sql<NamedRows>`${hasRuns ? sql`` : preparedForFew(leaseIds.length + budgetIds.size + said.length)}
    with said as materialized (
      select * from unnest(${said.map(({ gatewayId }) => gatewayId)}::text[], ${said.map(({ leaseId }) => leaseId)}::text[],
          ${said.map(({ list }) => (list === undefined ? 0 : list + 1))}::bigint[])
        with ordinality as said(gateway, lease_id, list, place) ${few(said)}),
    held as (
      select leases.* from (select unnest(${leaseIds}::text[]) as lease_id ${few(leaseIds)}) as named
        join leases on home = ${home} and leases.lease_id = named.lease_id
      ${
        hasRuns
          ? sql`union all
      ${openIn(names.runs)}
      union all
      ${openIn(names.listed)} and (state <> 'open' or (part.place, leases.lease_id) not in (select list, lease_id from said))`
          : sql``
      })
    select
      (select coalesce(json_agg(held), '[]') from held) as leases,
      (select coalesce(json_agg(b), '[]') from budgets_in_force b
        where b.budget_id = any(array(select budget_id from held union select unnest(${[...budgetIds]}::text[])))) as budgets,
      (select coalesce(json_agg(g), '[]') from lease_gateways g where g.home = ${home}) as gateways,
      (select coalesce(json_agg(place - 1), '[]') from said where not exists (
        select from leases where home = ${home} and leases.lease_id = said.lease_id
          and leases.gateway_id = said.gateway and state <> 'closed')) as missing`.execute(trx)
  const [row] = rows
  if (!row) throw new Error(`home ${home} was not read`)
  return row
}

type WindowRow = Selectable<BudgetTables['budget_windows']>

/** Windows with what their leases weigh, locked in the order in which usage locks them. */
export async function lockWindowRows(trx: Transaction<BudgetTables>, names: readonly PoolName[]): Promise<WindowRow[]> {
  if (names.length === 0) return []
  const { rows } = await sql<WindowRow>`${preparedForFew(names.length)}
    select ${windowColumns} from budget_windows w
      join (select * from unnest(${names.map(name => name.budgetId)}::text[], ${names.map(name => name.copy)}::text[],
        ${names.map(name => name.windowStartMs)}::bigint[]) ${few(names)}) as named(budget_id, copy, window_start_ms)
        using (budget_id, copy, window_start_ms)
    order by budget_id, copy, window_start_ms for update of w`.execute(trx)
  return rows
}

function toPool(row: WindowRow, limit: number): Pool {
  const windowStartMs = Number(row.window_start_ms)
  return {
    key: poolKey(row.budget_id, row.copy, windowStartMs),
    budgetId: row.budget_id,
    copy: row.copy,
    windowStartMs,
    limit,
    unleased: toPoolAmount(BigInt(row.spent) - BigInt(row.forgiven)),
    settled: toPoolAmount(row.leased_settled),
    unresolved: toPoolAmount(row.unresolved),
    outstanding: toPoolAmount(row.outstanding),
  }
}

/** What of a loaded home has changed. */
export interface HomeChange {
  leases: readonly Lease[]
  pools: readonly Pool[]
  gatewayIds?: ReadonlySet<string>
}

/**
 * Writes what has changed as it is now, in one statement. Values that callers have chosen, and of which nothing is counted or held, leave
 * their copies to others. @returns the copies that were left
 */
export async function saveHome(
  trx: Transaction<BudgetTables>,
  home: number,
  loaded: LoadedHome,
  { leases, pools, gatewayIds = new Set() }: HomeChange,
  nowMs: number,
): Promise<PoolName[]> {
  if (leases.length + pools.length + gatewayIds.size > 0)
    await write(trx, home, loaded, { leases, pools, gatewayIds }, nowMs)
  const unused = [...loaded.state.pools.values()].filter(pool => mayLeave(pool, loaded.budgets))
  return unused.length === 0 ? [] : freePlaces(trx, unused)
}

function mayLeave(pool: Pool, budgets: LoadedHome['budgets']): boolean {
  const budget = budgets.get(pool.budgetId)
  if (!budget || !isPerChosen(budget) || isPlaceless(pool.copy)) return false
  return pool.unleased === 0 && pool.settled === 0 && pool.unresolved === 0 && pool.outstanding === 0
}

async function write(
  trx: Transaction<BudgetTables>,
  home: number,
  loaded: LoadedHome,
  { leases, pools, gatewayIds }: Required<HomeChange>,
  nowMs: number,
): Promise<void> {
  const rows = leases.map(lease => toRow(home, loaded, lease, nowMs))
  const gateways = [...gatewayIds].flatMap(gatewayId => loaded.state.gateways.get(gatewayId) ?? [])
  await sql`${preparedForFew(leases.length + pools.length)}with changed_leases as (
      insert into leases select * from jsonb_populate_recordset(null::leases, ${JSON.stringify(rows)}::jsonb)
        on conflict (home, lease_id) do update set settled = excluded.settled, returned = excluded.returned,
          unresolved = excluded.unresolved, version = excluded.version, state = excluded.state,
          given_up = excluded.given_up, changed_at_ms = excluded.changed_at_ms),
    changed_windows as (
      update budget_windows w set leased_settled = changed.settled, unresolved = changed.unresolved,
          outstanding = changed.outstanding, updated_at_ms = ${nowMs}
        from (select * from unnest(${pools.map(pool => pool.budgetId)}::text[], ${pools.map(pool => pool.copy)}::text[],
          ${pools.map(pool => pool.windowStartMs)}::bigint[], ${pools.map(pool => pool.settled)}::numeric[],
          ${pools.map(pool => pool.unresolved)}::numeric[], ${pools.map(pool => pool.outstanding)}::numeric[]) ${few(pools)})
          as changed(budget_id, copy, window_start_ms, settled, unresolved, outstanding)
        where w.budget_id = changed.budget_id and w.copy = changed.copy
          and w.window_start_ms = changed.window_start_ms)
    ${saveGateways(home, loaded, gateways)}`.execute(trx)
}

/** Requests change no gateway, and may not. */
function saveGateways(home: number, { listedAt }: LoadedHome, gateways: readonly KnownGateway[]) {
  if (gateways.length === 0) return sql`select`
  return sql`insert into lease_gateways (home, gateway_id, epoch, heard_at_ms, listed_at_ms)
    select ${home}::int, * from unnest(${gateways.map(gateway => gateway.gatewayId)}::text[],
      ${gateways.map(gateway => gateway.epoch)}::bigint[], ${gateways.map(gateway => gateway.heardAtMs)}::bigint[],
      ${gateways.map(({ gatewayId }) => listedAt.get(gatewayId) ?? 0)}::bigint[])
    on conflict (home, gateway_id) do update set epoch = excluded.epoch, heard_at_ms = excluded.heard_at_ms,
      listed_at_ms = excluded.listed_at_ms`
}

function toRow(home: number, { state, unresolvedSince }: LoadedHome, lease: Lease, nowMs: number) {
  const pool = state.pools.get(lease.pool)
  if (!pool) throw new Error(`lease ${lease.leaseId} without its pool`)
  const since = unresolvedSince.get(lease.leaseId)
  const unresolved = [...lease.unresolved].map(([attempt, amount]) => [
    attempt,
    { amount, since_ms: since?.get(attempt) ?? nowMs },
  ])
  return {
    home,
    lease_id: lease.leaseId,
    ask_seq: lease.askSeq,
    budget_id: pool.budgetId,
    copy: pool.copy,
    window_start_ms: pool.windowStartMs,
    gateway_id: lease.gatewayId,
    epoch: lease.epoch,
    granted: lease.granted,
    settled: lease.settled,
    returned: lease.returned,
    unresolved: Object.fromEntries(unresolved),
    version: lease.version,
    state: lease.state,
    given_up: [...lease.givenUp],
    granted_at_ms: nowMs,
    changed_at_ms: nowMs,
  }
}

/** A lease that a recall could bring money back from. */
export interface OpenLease {
  leaseId: string
  pool: string
  gatewayId: string
  epoch: number
  grantedAtMs: number
}

/** Open leases of these pools. */
export async function listOpenLeases(
  trx: Transaction<BudgetTables>,
  home: number,
  pools: readonly PoolName[],
): Promise<OpenLease[]> {
  const { rows } = await sql<LeaseRow>`
    select leases.* from unnest(${pools.map(pool => pool.budgetId)}::text[], ${pools.map(pool => pool.copy)}::text[],
        ${pools.map(pool => pool.windowStartMs)}::bigint[]) as named(budget_id, copy, window_start_ms)
      join leases using (budget_id, copy, window_start_ms)
    where home = ${home} and state = 'open'`.execute(trx)
  return rows.map(row => ({
    leaseId: row.lease_id,
    pool: poolKey(row.budget_id, row.copy, Number(row.window_start_ms)),
    gatewayId: row.gateway_id,
    epoch: Number(row.epoch),
    grantedAtMs: Number(row.granted_at_ms),
  }))
}

function fromRow(row: LeaseRow): { lease: Lease; since: Map<string, number> } {
  const unresolved = Object.entries(row.unresolved)
  return {
    lease: {
      leaseId: row.lease_id,
      askSeq: Number(row.ask_seq),
      pool: poolKey(row.budget_id, row.copy, Number(row.window_start_ms)),
      gatewayId: row.gateway_id,
      epoch: Number(row.epoch),
      granted: Number(row.granted),
      settled: Number(row.settled),
      returned: Number(row.returned),
      unresolved: new Map(unresolved.map(([attempt, { amount }]) => [attempt, amount])),
      version: Number(row.version),
      state: row.state,
      givenUp: new Set(row.given_up),
    },
    since: new Map(unresolved.map(([attempt, { since_ms }]) => [attempt, since_ms])),
  }
}
