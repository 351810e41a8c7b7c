import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Corrections of what was posted: new rows that name the old ones, numbered without gaps in one series. */
export const createAdjustments: Migration = {
  name: '005-create-adjustments',
  async up(db) {
    await sql`alter table ledger_transactions drop constraint ledger_transactions_kind_check`.execute(db)
    await sql`alter table ledger_transactions
      add constraint ledger_transactions_kind_check check (kind in ('usage', 'adjustment')),
      add column adjusts bigint references ledger_transactions,
      add check ((kind = 'adjustment') = (adjusts is not null))`.execute(db)
    await sql`comment on column ledger_transactions.adjusts is 'The transaction that posted the event which this one corrects'`.execute(
      db,
    )
    await sql`create table adjustments (
      seq bigint primary key check (seq >= 1),
      event_id uuid not null,
      version int not null check (version >= 1),
      project_id uuid not null,
      transaction_id bigint not null unique references ledger_transactions,
      actor text not null,
      reason text not null,
      payload text not null,
      posted_at timestamptz not null default now(),
      unique (event_id, version)
    )`.execute(db)
    await sql`comment on table adjustments is 'Every correction, who made it and why; part of the usage log'`.execute(
      db,
    )
    await sql`comment on column adjustments.payload is 'usage.adjusted.v1 as it is published'`.execute(db)
    await sql`create index adjustments_posted on adjustments (posted_at)`.execute(db)
    await sql`create index adjustments_project on adjustments (project_id, seq desc)`.execute(db)
  },
}
