import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createLeases: Migration = {
  name: '004-create-leases',
  async up(db) {
    await sql`create table partition_owners (
      home int primary key,
      owner text not null,
      term bigint not null,
      expires_at timestamptz not null
    )`.execute(db)
    await sql`comment on table partition_owners is 'Which instance changes the leases of a home. Whoever changes them holds its row locked'`.execute(
      db,
    )
    await sql`insert into partition_owners select home, '', 0, '-infinity' from generate_series(0, 7) as home`.execute(
      db,
    )
    await sql`create table budget_instances (owner text primary key, expires_at timestamptz not null)`.execute(db)

    await sql`create table leases (
      home int not null,
      lease_id text not null,
      ask_seq bigint not null,
      budget_id text not null references budgets,
      copy text not null,
      window_start_ms bigint not null,
      gateway_id text not null,
      epoch bigint not null,
      granted bigint not null,
      settled bigint not null,
      returned bigint not null,
      unresolved jsonb not null,
      version bigint not null,
      state text not null check (state in ('open', 'silent', 'closed')),
      given_up text[] not null,
      granted_at_ms bigint not null,
      changed_at_ms bigint not null,
      primary key (home, lease_id)
    )`.execute(db)
    await sql`comment on column leases.unresolved is 'By attempt: what it may have used beyond what was settled, and since when'`.execute(
      db,
    )
    await sql`create index leases_by_id on leases (lease_id)`.execute(db)
    await sql`create index leases_by_run on leases (home, gateway_id, epoch, ask_seq) where state <> 'closed'`.execute(
      db,
    )
    await sql`create index leases_by_pool on leases (budget_id, copy, window_start_ms) where state <> 'closed'`.execute(
      db,
    )
    await sql`create index leases_unresolved on leases (budget_id, changed_at_ms) where unresolved <> '{}'`.execute(db)
    await sql`create index leases_closed on leases (changed_at_ms) where state = 'closed'`.execute(db)

    await sql`create table lease_gateways (
      home int not null,
      gateway_id text not null,
      epoch bigint not null,
      heard_at_ms bigint not null,
      primary key (home, gateway_id)
    )`.execute(db)

    await sql`alter table budget_windows
      add column leased_settled numeric(38, 0) not null default 0,
      add column unresolved numeric(38, 0) not null default 0,
      add column outstanding numeric(38, 0) not null default 0`.execute(db)
    await sql`comment on column budget_windows.spent is 'By usage that names no lease of this budget, adjustments included'`.execute(
      db,
    )
    await sql`alter table budgets add column hold text`.execute(db)

    await sql`alter table spend_facts
      add column held_budgets text[] not null default '{}',
      add column unresolved_leases text[] not null default '{}',
      add column recorded_nano_usd bigint not null default 0,
      add column recorded_tokens bigint not null default 0`.execute(db)
    await sql`comment on column spend_facts.held_budgets is 'They count what was recorded by their leases, and adjustments alone by this fact'`.execute(
      db,
    )
    await sql`comment on column spend_facts.recorded_nano_usd is 'What leases have settled of it: 0 where no budget held it'`.execute(
      db,
    )
  },
}
