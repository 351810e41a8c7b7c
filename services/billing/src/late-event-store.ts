import type { UsageRecordedData } from '@sluice/contracts'
import type { Kysely, Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'

/** An event that is posted so long after its admission is late. */
export const lateAfterMs = 35 * 24 * 60 * 60 * 1_000

/** A late event, as operators see it. */
export interface LateEvent {
  event_id: string
  project_id: string
  admitted_at: Date
  posted_at: Date
  /** Integer text. */
  cost_nano_usd: string
}

/** Notes which of the events that are posted are late, in the caller's transaction. @returns how many */
export async function noteLateEvents(
  trx: Transaction<Tables>,
  groups: readonly { batchId: string; events: readonly UsageRecordedData[] }[],
  nowMs: number,
): Promise<number> {
  const late = groups.flatMap(({ batchId, events }) =>
    events.filter(event => nowMs - event.admitted_at_ms > lateAfterMs).map(event => ({ batchId, event })),
  )
  if (late.length === 0) return 0
  await sql`insert into late_events (event_id, batch_id, project_id, admitted_at, cost_nano_usd)
    select * from unnest(${late.map(({ event }) => event.event_id)}::uuid[], ${late.map(({ batchId }) => batchId)}::bigint[],
      ${late.map(({ event }) => event.identity.project_id)}::uuid[],
      ${late.map(({ event }) => new Date(event.admitted_at_ms).toISOString())}::timestamptz[],
      ${late.map(({ event }) => String(event.cost_nano_usd))}::bigint[])`.execute(trx)
  return late.length
}

/** The latest first, with how many there are. */
export async function listLateEvents(
  db: Kysely<Tables>,
  limit: number,
): Promise<{ count: number; late_events: LateEvent[] }> {
  const { rows } = await sql<LateEvent>`select event_id, project_id, admitted_at, posted_at, cost_nano_usd
    from late_events order by late_event_id desc limit ${limit}`.execute(db)
  const { rows: counted } = await sql<{ count: number }>`select count(*)::int as count from late_events`.execute(db)
  return { count: counted[0]?.count ?? 0, late_events: rows }
}
