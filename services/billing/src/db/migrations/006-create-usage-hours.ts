import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What the ledger has posted, by the hour of admission: what analytics and budgets are held against. */
export const createUsageHours: Migration = {
  name: '006-create-usage-hours',
  async up(db) {
    await sql`create table usage_hours (
      hour timestamptz not null,
      project_id uuid not null,
      events bigint not null,
      cost_nano_usd bigint not null,
      seat_cost_nano_usd bigint not null,
      primary key (hour, project_id)
    )`.execute(db)
    await sql`comment on table usage_hours is 'Changed in the transactions that post: its sum of a project is the balance of its usage_cost'`.execute(
      db,
    )
    await sql`comment on column usage_hours.seat_cost_nano_usd is 'Of the cost, what a flat seat paid: notional, in no budget of money'`.execute(
      db,
    )
    await sql`create table duplicate_settlements (
      batch_id bigint not null references usage_batches,
      seq bigint not null,
      event_id uuid not null,
      primary key (batch_id, seq)
    )`.execute(db)
    await sql`comment on table duplicate_settlements is 'Events of the log that are not posted: another one has their settlement key'`.execute(
      db,
    )
  },
}
