import { wholeLease } from '@sluice/leases'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'
import { restSum } from './homes/holdings-store.ts'

/** What one run of a gateway holds of one copy of a budget. */
export interface GatewayHolding {
  gatewayId: string
  epoch: number
  copy: string
  windowStartMs: number
  leases: number
  granted: bigint
  settled: bigint
  outstanding: bigint
  /** It has not been heard of for long: what was outstanding is unresolved. */
  isSilent: boolean
  heardAtMs: number | undefined
}

/** What an attempt may have used beyond what was settled for it. */
export interface UnresolvedHold {
  leaseId: string
  attemptId: string
  gatewayId: string
  copy: string
  windowStartMs: number
  amount: bigint
  sinceMs: number
}

export interface GivenUp {
  atMs: number
  action: string
  by: string
  note: unknown
}

/** Where both lists go on, behind what each has shown last; null: that one has ended. */
export interface LeasePlace {
  /** The first lease of a holding. */
  gateways: string | null
  unresolved: [sinceMs: number, leaseId: string, attemptId: string] | null
}

/** What is leased of a budget, and what of it is in doubt: a page of each. */
export interface LeasePage {
  gateways: GatewayHolding[]
  unresolved: UnresolvedHold[]
  /** The latest first; with the first page alone. */
  givenUp: GivenUp[]
  next: LeasePlace | undefined
}

/** The audit has all of those. */
const mostGivenUp = 100

/** @param after undefined: the first page */
export async function readLeasePage(
  db: Kysely<BudgetTables>,
  budgetId: string,
  { after, limit }: { after: LeasePlace | undefined; limit: number },
): Promise<LeasePage> {
  const rows = limit + 1
  const gateways = after?.gateways === null ? [] : await listHoldings(db, budgetId, after?.gateways, rows)
  const unresolved = after?.unresolved === null ? [] : await listUnresolved(db, budgetId, after?.unresolved, rows)
  const next: LeasePlace = { gateways: placeBehind(gateways, limit), unresolved: placeBehind(unresolved, limit) }
  return {
    gateways: gateways.slice(0, limit).map(({ row }) => row),
    unresolved: unresolved.slice(0, limit).map(({ row }) => row),
    givenUp: after ? [] : await listGivenUp(db, budgetId),
    next: next.gateways === null && next.unresolved === null ? undefined : next,
  }
}

interface Listed<Row, Place> {
  row: Row
  place: Place
}

function placeBehind<Place>(rows: readonly Listed<unknown, Place>[], limit: number): Place | null {
  return rows.length > limit ? (rows[limit - 1]?.place ?? null) : null
}

type UnresolvedPlace = NonNullable<LeasePlace['unresolved']>

/** What each run of a gateway holds of a copy, by its first lease. */
async function listHoldings(
  db: Kysely<BudgetTables>,
  budgetId: string,
  after: string | undefined,
  limit: number,
): Promise<Listed<GatewayHolding, string>[]> {
  const { rows } = await sql<{
    gateway_id: string
    epoch: string
    copy: string
    window_start_ms: string
    first_lease_id: string
    leases: string
    granted: string
    settled: string
    outstanding: string
    is_silent: boolean
    heard_at_ms: string | null
  }>`select l.gateway_id, l.epoch, l.copy, l.window_start_ms, min(l.lease_id) as first_lease_id, count(*) as leases,
      sum(granted) as granted, sum(settled) as settled, sum(${restSum}) as outstanding, l.state = 'silent' as is_silent,
      max(g.heard_at_ms) as heard_at_ms
    from leases l left join lease_gateways g using (home, gateway_id)
    where l.budget_id = ${budgetId} and l.state <> 'closed'
    group by l.gateway_id, l.epoch, l.copy, l.window_start_ms, l.state
    having min(l.lease_id) > ${after ?? ''}
    order by first_lease_id limit ${limit}`.execute(db)
  return rows.map(row => ({
    place: row.first_lease_id,
    row: {
      gatewayId: row.gateway_id,
      epoch: Number(row.epoch),
      copy: row.copy,
      windowStartMs: Number(row.window_start_ms),
      leases: Number(row.leases),
      granted: BigInt(row.granted),
      settled: BigInt(row.settled),
      outstanding: row.is_silent ? 0n : BigInt(row.outstanding),
      isSilent: row.is_silent,
      heardAtMs: row.heard_at_ms === null ? undefined : Number(row.heard_at_ms),
    },
  }))
}

/** What attempts of unknown end may have used, the oldest first. */
async function listUnresolved(
  db: Kysely<BudgetTables>,
  budgetId: string,
  after: UnresolvedPlace | undefined,
  limit: number,
): Promise<Listed<UnresolvedHold, UnresolvedPlace>[]> {
  const [sinceMs, leaseId, attemptId] = after ?? [-1, '', '']
  const { rows } = await sql<{
    lease_id: string
    attempt_id: string
    gateway_id: string
    copy: string
    window_start_ms: string
    amount: string
    since_ms: string
  }>`select * from (
      select lease_id, attempt.key as attempt_id, gateway_id, copy, window_start_ms,
        attempt.value ->> 'amount' as amount, (attempt.value ->> 'since_ms')::bigint as since_ms
      from leases, jsonb_each(unresolved) as attempt where budget_id = ${budgetId} and unresolved <> '{}'
      union all
      select lease_id, ${wholeLease}, gateway_id, copy, window_start_ms, (${restSum})::text, changed_at_ms
      from leases l where budget_id = ${budgetId} and state = 'silent' and not ${wholeLease} = any(given_up)
    ) holds
    where (since_ms, lease_id, attempt_id) > (${sinceMs}::bigint, ${leaseId}, ${attemptId})
    order by since_ms, lease_id, attempt_id limit ${limit}`.execute(db)
  return rows.map(row => ({
    place: [Number(row.since_ms), row.lease_id, row.attempt_id],
    row: {
      leaseId: row.lease_id,
      attemptId: row.attempt_id,
      gatewayId: row.gateway_id,
      copy: row.copy,
      windowStartMs: Number(row.window_start_ms),
      amount: BigInt(row.amount),
      sinceMs: Number(row.since_ms),
    },
  }))
}

async function listGivenUp(db: Kysely<BudgetTables>, budgetId: string): Promise<GivenUp[]> {
  const rows = await db
    .selectFrom('audit_entries')
    .select(['at_ms', 'action', 'actor_kind', 'actor_id', 'after'])
    .where('budget_id', '=', budgetId)
    .where('action', 'in', ['written-off', 'unresolved-expired'])
    .orderBy('id', 'desc')
    .limit(mostGivenUp)
    .execute()
  return rows.map(row => ({
    atMs: Number(row.at_ms),
    action: row.action,
    by: `${row.actor_kind} ${row.actor_id}`,
    note: row.after,
  }))
}
