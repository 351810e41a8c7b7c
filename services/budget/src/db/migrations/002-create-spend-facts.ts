import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createSpendFacts: Migration = {
  name: '002-create-spend-facts',
  async up(db) {
    await sql`create table spend_facts (
      event_id uuid primary key,
      project_id uuid not null,
      account_id text not null,
      team_id text,
      member_id text,
      service_account_id text,
      key_id text,
      room text,
      participant text,
      model text,
      provider text,
      admitted_at_ms bigint not null,
      seat boolean not null,
      version int not null,
      nano_usd bigint not null,
      tokens bigint not null,
      requests int not null
    )`.execute(db)
    await sql`comment on column spend_facts.nano_usd is 'Cost that counts: 0 where a flat seat pays'`.execute(db)
    await sql`comment on column spend_facts.version is '0: as recorded; grows with each adjustment'`.execute(db)
    // A new budget sums one project over one window.
    await sql`create index spend_facts_by_project on spend_facts (project_id, admitted_at_ms)`.execute(db)
    // Events arrive nearly in order of admission, so a block range index finds what is to be pruned at almost no cost.
    await sql`create index spend_facts_by_admission on spend_facts using brin (admitted_at_ms)`.execute(db)

    await sql`create table settlements (
      project_id uuid not null,
      settlement_key text not null,
      event_id uuid not null,
      settled_at_ms bigint not null,
      primary key (project_id, settlement_key)
    )`.execute(db)
    await sql`create table series_positions (
      series text primary key,
      stream_seq bigint not null
    )`.execute(db)
    await sql`comment on column series_positions.stream_seq is 'Last message of the series in the stream when it had no gap'`.execute(
      db,
    )
    await sql`create table dead_letters (
      id bigint generated always as identity primary key,
      stream_seq bigint not null,
      subject text not null,
      series text,
      first bigint,
      last bigint,
      reason text not null,
      content bytea not null,
      created_at_ms bigint not null
    )`.execute(db)
    // What names no series leaves no mark: its place in the stream keeps it from being noted twice.
    await sql`create unique index dead_letters_without_series on dead_letters (stream_seq) where series is null`.execute(
      db,
    )
  },
}
