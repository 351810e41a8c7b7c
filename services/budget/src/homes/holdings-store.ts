import { wholeLease } from '@sluice/leases'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'

/** What attempts of a lease `l` may have used. Nearly all leases have nothing unresolved: for none of them a query of its own is run. */
export const unresolvedSum = sql`case when l.unresolved = '{}' then 0
  else (select coalesce(sum((value ->> 'amount')::bigint), 0) from jsonb_each(l.unresolved)) end`
/** What is left of a lease `l`. */
export const restSum = sql`greatest(0, l.granted - l.settled - l.returned - ${unresolvedSum})`

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
