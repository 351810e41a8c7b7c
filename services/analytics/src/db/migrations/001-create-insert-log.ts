import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createInsertLog: Migration = {
  name: '001-create-insert-log',
  async up(db) {
    await sql`create table insert_intents (
      stream text not null,
      first_seq bigint not null,
      last_seq bigint not null,
      rows int not null,
      state text not null check (state in ('before', 'after')),
      changed_at timestamptz not null default now(),
      primary key (stream, first_seq, last_seq)
    )`.execute(db)
    await sql`create index on insert_intents (first_seq) where state = 'before'`.execute(db)
    await sql`create table dead_letters (
      id bigint generated always as identity primary key,
      stream text not null,
      stream_seq bigint not null,
      line int not null,
      series text not null,
      seq bigint,
      reason text not null,
      content bytea not null,
      received_at timestamptz not null default now(),
      unique (stream, stream_seq, line)
    )`.execute(db)
    await sql`create table pending_adjustments (
      event_id uuid not null,
      version int not null,
      stream_seq bigint not null,
      payload text not null,
      primary key (event_id, version)
    )`.execute(db)
    await sql`create sequence dirty_hours_touched`.execute(db)
    await sql`create table dirty_hours (
      project_id uuid not null,
      hour timestamptz not null,
      touched bigint not null default nextval('dirty_hours_touched'),
      primary key (project_id, hour)
    )`.execute(db)
    await sql`create index on dirty_hours (touched)`.execute(db)
    await sql`create table series_positions (series text primary key, stream_seq bigint not null)`.execute(db)
    await sql`comment on column series_positions.stream_seq is 'Last message of the stream at which the series had no gap'`.execute(
      db,
    )
    await sql`create table settlement_owners (
      project_id uuid not null,
      settlement_key text not null,
      series text not null,
      seq bigint not null,
      primary key (project_id, settlement_key)
    )`.execute(db)
  },
}
