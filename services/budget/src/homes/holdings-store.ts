import { wholeLease } from '@sluice/leases'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'

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

/** Everything that is leased of a budget, and what of it is in doubt. */
export interface Holdings {
  gateways: GatewayHolding[]
  unresolved: UnresolvedHold[]
  /** The latest first. */
  givenUp: GivenUp[]
}

const mostRows = 1_000

/** Nearly all leases have nothing unresolved: for none of them a query of its own is run. */
const unresolvedSum = sql`case when l.unresolved = '{}' then 0
  else (select coalesce(sum((value ->> 'amount')::bigint), 0) from jsonb_each(l.unresolved)) end`
const restSum = sql`greatest(0, l.granted - l.settled - l.returned - ${unresolvedSum})`

export async function readHoldings(db: Kysely<BudgetTables>, budgetId: string): Promise<Holdings> {
  const { rows: gateways } = await sql<{
    gateway_id: string
    epoch: string
    copy: string
    window_start_ms: string
    leases: string
    granted: string
    settled: string
    outstanding: string
    is_silent: boolean
    heard_at_ms: string | null
  }>`select l.gateway_id, l.epoch, l.copy, l.window_start_ms, count(*) as leases, sum(granted) as granted,
      sum(settled) as settled, sum(${restSum}) as outstanding, l.state = 'silent' as is_silent, max(g.heard_at_ms) as heard_at_ms
    from leases l left join lease_gateways g using (home, gateway_id)
    where l.budget_id = ${budgetId} and l.state <> 'closed'
    group by l.gateway_id, l.epoch, l.copy, l.window_start_ms, l.state
    order by l.gateway_id, l.epoch, l.copy, l.window_start_ms limit ${mostRows}`.execute(db)
  const { rows: unresolved } = await sql<{
    lease_id: string
    attempt_id: string
    gateway_id: string
    copy: string
    window_start_ms: string
    amount: string
    since_ms: string
  }>`select lease_id, attempt.key as attempt_id, gateway_id, copy, window_start_ms,
      attempt.value ->> 'amount' as amount, (attempt.value ->> 'since_ms')::bigint as since_ms
    from leases, jsonb_each(unresolved) as attempt where budget_id = ${budgetId} and unresolved <> '{}'
    union all
    select lease_id, ${wholeLease}, gateway_id, copy, window_start_ms, (${restSum})::text, changed_at_ms
    from leases l where budget_id = ${budgetId} and state = 'silent' and not ${wholeLease} = any(given_up)
    order by since_ms, lease_id limit ${mostRows}`.execute(db)
  const givenUp = await db
    .selectFrom('audit_entries')
    .select(['at_ms', 'action', 'actor_kind', 'actor_id', 'after'])
    .where('budget_id', '=', budgetId)
    .where('action', 'in', ['written-off', 'unresolved-expired'])
    .orderBy('id', 'desc')
    .limit(100)
    .execute()
  return {
    gateways: gateways.map(row => ({
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
    })),
    unresolved: unresolved.map(row => ({
      leaseId: row.lease_id,
      attemptId: row.attempt_id,
      gatewayId: row.gateway_id,
      copy: row.copy,
      windowStartMs: Number(row.window_start_ms),
      amount: BigInt(row.amount),
      sinceMs: Number(row.since_ms),
    })),
    givenUp: givenUp.map(row => ({
      atMs: Number(row.at_ms),
      action: row.action,
      by: `${row.actor_kind} ${row.actor_id}`,
      note: row.after,
    })),
  }
}

/** What is leased in these homes, by unit: for metrics. */
export async function sumHoldings(
  db: Kysely<BudgetTables>,
  homes: readonly number[],
): Promise<{ unit: string; outstanding: number; unresolved: number }[]> {
  if (homes.length === 0) return []
  const { rows } = await sql<{ unit: string; outstanding: string; unresolved: string }>`
    select unit, sum(case when l.state = 'open' then ${restSum} else 0 end) as outstanding,
      sum(${unresolvedSum} + case when l.state = 'silent' and not ${wholeLease} = any(given_up) then ${restSum} else 0 end)
        as unresolved
    from (
      -- Apart, so that each is found by an index of its own: nearly all leases are closed and have nothing unresolved.
      select * from leases where home = any(${[...homes]}::int[]) and state <> 'closed'
      union all
      select * from leases where home = any(${[...homes]}::int[]) and state = 'closed' and unresolved <> '{}'
    ) l join budgets using (budget_id) group by unit`.execute(db)
  return rows.map(row => ({
    unit: row.unit,
    outstanding: Number(row.outstanding),
    unresolved: Number(row.unresolved),
  }))
}
