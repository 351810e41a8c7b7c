import { type Kysely, prepared } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'

/** What there may be to do for alerts. */
export interface WaitingAlerts {
  /** Requests for more that people have to be told of, or of what became of them. */
  requests: boolean
  /** Alerts that are due at a destination. */
  deliveries: boolean
}

/** Asked all the time and nearly always in vain: in one question, which is planned once. */
export async function findWaitingAlerts(db: Kysely<BudgetTables>, nowMs: number): Promise<WaitingAlerts> {
  const { rows } = await sql<WaitingAlerts>`${prepared}select
    (exists (select from more_requests where told_at_ms is null)
      or exists (select from more_requests where decided_at_ms is not null and decision_told_at_ms is null)) as requests,
    exists (select from alert_deliveries where state = 'waiting' and next_at_ms <= ${nowMs}
      and (claimed_until_ms is null or claimed_until_ms <= ${nowMs})) as deliveries`.execute(db)
  return rows[0] ?? { requests: false, deliveries: false }
}
