import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import type { LedgerHour } from './reconciliation.ts'

export interface UsageHourStore {
  /** What was posted for the hours that begin in `fromMs..toMs`, the end not included. */
  list(fromMs: number, toMs: number): Promise<LedgerHour[]>
  /** Projects whose sums by hour are not their balance in the ledger: none, unless rows were changed by hand. */
  listUnbalanced(): Promise<{ projectId: string; hours: bigint; balance: bigint }[]>
}

export function usageHourStore(db: Kysely<Tables>): UsageHourStore {
  return {
    async list(fromMs, toMs) {
      const rows = await db
        .selectFrom('usage_hours')
        .selectAll()
        .where('hour', '>=', new Date(fromMs))
        .where('hour', '<', new Date(toMs))
        .orderBy('hour')
        .orderBy('project_id')
        .execute()
      return rows.map(row => ({
        projectId: row.project_id,
        hourMs: row.hour.getTime(),
        events: Number(row.events),
        costNanoUsd: BigInt(row.cost_nano_usd),
        budgetCostNanoUsd: BigInt(row.cost_nano_usd) - BigInt(row.seat_cost_nano_usd),
      }))
    },
    async listUnbalanced() {
      const { rows } = await sql<{ owner: string; hours: string; balance: string }>`
        select owner, coalesce(hours, 0)::text as hours, coalesce(balance_nano_usd, 0)::text as balance
        from (select owner, balance_nano_usd from ledger_accounts where kind = 'usage_cost') accounts
        full join (select project_id::text as owner, sum(cost_nano_usd) as hours from usage_hours group by project_id) sums
          using (owner)
        where coalesce(hours, 0) <> coalesce(balance_nano_usd, 0) order by owner limit 100`.execute(db)
      return rows.map(row => ({ projectId: row.owner, hours: BigInt(row.hours), balance: BigInt(row.balance) }))
    },
  }
}
