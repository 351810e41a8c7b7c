import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/**
 * The usage log: each sub-range of a series once. Series get a small number, and a range of numbers becomes a range of one
 * space (series × 2⁴⁰ + number), so that one exclusion constraint refuses overlaps without any extension, whose creation
 * the service's role is not allowed.
 */
export const createUsageLog: Migration = {
  name: '002-create-usage-log',
  async up(db) {
    await sql`create table usage_series (
      series_no int generated always as identity primary key,
      gateway_id text not null,
      epoch bigint not null,
      partition int not null,
      unique (gateway_id, epoch, partition),
      check (series_no < 4194304)
    )`.execute(db)
    await sql`create table usage_batches (
      batch_id bigint generated always as identity primary key,
      series_no int not null references usage_series,
      first bigint not null check (first >= 1),
      last bigint not null check (last >= first and last < 1099511627776),
      span int8range not null generated always as (
        int8range(series_no::bigint * 1099511627776 + first, series_no::bigint * 1099511627776 + last, '[]')
      ) stored,
      content bytea not null,
      posted_at timestamptz not null default now(),
      exclude using gist (span with &&)
    )`.execute(db)
    await sql`alter table usage_batches alter column content set storage external`.execute(db)
    await sql`create index usage_batches_posted on usage_batches (posted_at)`.execute(db)
    await sql`comment on column usage_batches.content is 'The events first..last, one a line, zstd'`.execute(db)

    await sql`create table settlement_keys (
      project_id uuid not null,
      settlement_key text not null,
      event_id uuid not null,
      primary key (project_id, settlement_key)
    )`.execute(db)
    await sql`comment on table settlement_keys is 'What more than one gateway may settle: the first event is posted, later ones are not'`.execute(
      db,
    )

    await sql`create table dead_letters (
      dead_letter_id bigint generated always as identity primary key,
      fingerprint text not null unique,
      gateway_id text,
      epoch bigint,
      partition int,
      first bigint,
      last bigint,
      reason text not null,
      content bytea not null,
      received_at timestamptz not null default now()
    )`.execute(db)
    await sql`comment on table dead_letters is 'Received and not posted. Ranges are null where the headers could not be read'`.execute(
      db,
    )
    await sql`comment on column dead_letters.fingerprint is 'Of range and content: the same letter delivered twice is one row'`.execute(
      db,
    )

    await sql`create table rating_differences (
      event_id uuid primary key,
      project_id uuid not null,
      price_book_id text not null,
      override_price_book_id text,
      reason text not null,
      stamped_nano_usd bigint not null,
      recomputed_nano_usd bigint,
      found_at timestamptz not null default now()
    )`.execute(db)
  },
}
