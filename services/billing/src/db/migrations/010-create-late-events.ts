import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What was posted long after it was admitted: whoever has closed a month's books must be able to see what came behind. */
export const createLateEvents: Migration = {
  name: '010-create-late-events',
  async up(db) {
    await sql`create table late_events (
      late_event_id bigint generated always as identity primary key,
      event_id uuid not null,
      batch_id bigint not null references usage_batches,
      project_id uuid not null,
      admitted_at timestamptz not null,
      cost_nano_usd bigint not null,
      posted_at timestamptz not null default now()
    )`.execute(db)
    await sql`comment on table late_events is 'Events posted more than 35 days after their admission; written in the transaction that posts them'`.execute(
      db,
    )
  },
}
