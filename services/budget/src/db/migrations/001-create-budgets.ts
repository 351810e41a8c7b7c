import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createBudgets: Migration = {
  name: '001-create-budgets',
  async up(db) {
    await sql`create table budgets (
      budget_id text primary key,
      version int not null check (version >= 1),
      name text not null,
      account_id text not null,
      project_id uuid not null,
      scope jsonb not null,
      per text,
      unit text not null,
      limit_amount bigint not null check (limit_amount >= 0),
      window_kind text not null,
      time_zone text not null,
      mode text not null,
      on_unknown jsonb not null,
      created_at_ms bigint not null,
      counts_from_ms bigint not null,
      deleted_at_ms bigint
    )`.execute(db)
    await sql`create index budgets_by_project on budgets (project_id) where deleted_at_ms is null`.execute(db)
    await sql`comment on column budgets.limit_amount is 'nano-USD for unit usd, else a count'`.execute(db)
    await sql`comment on column budgets.counts_from_ms is 'Events admitted before do not count'`.execute(db)

    await sql`create table budget_windows (
      budget_id text not null references budgets,
      copy text not null,
      window_start_ms bigint not null,
      window_end_ms bigint,
      spent numeric(38, 0) not null,
      updated_at_ms bigint not null,
      primary key (budget_id, copy, window_start_ms)
    )`.execute(db)
    await sql`comment on column budget_windows.copy is 'Value of the per dimension; empty for a shared pool'`.execute(
      db,
    )
    await sql`comment on column budget_windows.window_end_ms is 'Null for total'`.execute(db)
    await sql`create index budget_windows_by_end on budget_windows (window_end_ms)`.execute(db)

    await sql`create table cutoffs (
      cutoff_id text primary key,
      budget_id text not null references budgets,
      copy text not null,
      version int not null,
      active boolean not null,
      until_ms bigint,
      at_ms bigint not null,
      listed boolean not null,
      document jsonb not null
    )`.execute(db)
    await sql`comment on column cutoffs.listed is 'Whether KV cutoffs holds it. The row stays, so that versions go on'`.execute(
      db,
    )
    await sql`create index cutoffs_listed on cutoffs (until_ms) where listed`.execute(db)
    await sql`create index cutoffs_by_budget on cutoffs (budget_id)`.execute(db)
  },
}
