import type { Kysely, Statement } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

/**
 * Takes settlement keys for events. What several gateways may settle (batch results, background responses) counts for the
 * one event of its project that takes its key first; the same event again is that one. @returns the ids of the events that have
 * their key
 */
export function takeSettlements(
  wanted: readonly { projectId: string; settlementKey: string; eventId: string }[],
  nowMs: number,
): Statement<{ event_id: string }> {
  return sql<{ event_id: string }>`
    with wanted as (select * from unnest(
      ${wanted.map(entry => entry.projectId)}::uuid[],
      ${wanted.map(entry => entry.settlementKey)}::text[], ${wanted.map(entry => entry.eventId)}::uuid[]) as w(project, key, event)),
    taken as (insert into settlements (project_id, settlement_key, event_id, settled_at_ms)
      select project, key, event, ${nowMs}::bigint from wanted order by project, key
      on conflict (project_id, settlement_key) do nothing returning event_id)
    select event_id from taken union select event_id from settlements join wanted
      on project_id = project and settlement_key = key and event_id = event`
}

/** Forgets keys taken before `beforeMs`. @returns how many; call again while it is `most` */
export async function pruneSettlements(db: Kysely<BudgetTables>, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from settlements where ctid = any(array(
    select ctid from settlements where settled_at_ms < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}
