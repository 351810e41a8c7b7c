import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Credits, and projects that may spend no more than they have been credited. */
export const createCredits: Migration = {
  name: '011-create-credits',
  async up(db) {
    await sql`alter table ledger_accounts drop constraint ledger_accounts_kind_check`.execute(db)
    await sql`alter table ledger_accounts add constraint ledger_accounts_kind_check
      check (kind in ('usage_cost', 'provider_cost', 'project_balance', 'charges', 'credits'))`.execute(db)
    await sql`comment on table ledger_accounts is 'usage_cost: what a project used, at the price book. provider_cost: the same, by provider. project_balance: what a project was charged and has not been credited. charges, credits: all of either'`.execute(
      db,
    )
    await sql`alter table ledger_transactions drop constraint ledger_transactions_kind_check`.execute(db)
    await sql`alter table ledger_transactions alter column batch_id drop not null,
      add constraint ledger_transactions_kind_check check (kind in ('usage', 'adjustment', 'credit')),
      add constraint ledger_transactions_batch_check check ((kind = 'credit') = (batch_id is null))`.execute(db)
    await sql`create table credits (
      transaction_id bigint primary key references ledger_transactions,
      project_id uuid not null,
      account_id text not null,
      amount_nano_usd bigint not null check (amount_nano_usd <> 0),
      reason text not null,
      actor text not null,
      from_address text not null,
      idempotency_key text,
      request_hash text not null,
      posted_at timestamptz not null default now(),
      unique (project_id, idempotency_key)
    )`.execute(db)
    await sql`comment on table credits is 'Every credit, who posted it and why; below zero: one taken back'`.execute(db)
    await sql`create index credits_project on credits (project_id, transaction_id desc)`.execute(db)
    await sql`create table prepaid_projects (
      project_id uuid primary key,
      account_id text not null,
      prepaid boolean not null,
      exhausted boolean not null,
      version bigint not null,
      changed_by text not null,
      changed_at timestamptz not null default now()
    )`.execute(db)
    await sql`comment on table prepaid_projects is 'Projects that are or were prepaid. The row stays, so that versions go on'`.execute(
      db,
    )
    await sql`comment on column prepaid_projects.exhausted is 'What was told last: balance.exhausted, or balance.restored'`.execute(
      db,
    )
  },
}
