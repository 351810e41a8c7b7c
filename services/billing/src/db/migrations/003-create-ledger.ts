import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** The double-entry ledger. Positive amounts are debits, negative ones credits; a transaction that does not add up to zero cannot commit. */
export const createLedger: Migration = {
  name: '003-create-ledger',
  async up(db) {
    await sql`create table ledger_accounts (
      ledger_account bigint generated always as identity primary key,
      kind text not null check (kind in ('usage_cost', 'provider_cost', 'project_balance', 'charges')),
      owner text not null,
      balance_nano_usd bigint not null default 0,
      unique (kind, owner)
    )`.execute(db)
    await sql`comment on table ledger_accounts is 'usage_cost: what a project used, at the price book. provider_cost: the same, by provider. project_balance: what a project was charged. charges: all of that'`.execute(
      db,
    )
    await sql`comment on column ledger_accounts.balance_nano_usd is 'Sum of its entries, kept in the transaction that posts them'`.execute(
      db,
    )
    await sql`create table ledger_transactions (
      transaction_id bigint generated always as identity primary key,
      batch_id bigint not null references usage_batches,
      project_id uuid not null,
      account_id text not null,
      kind text not null check (kind in ('usage')),
      event_count int not null,
      cost_nano_usd bigint not null,
      charge_nano_usd bigint not null,
      reference text not null default '',
      posted_at timestamptz not null default now(),
      unique (batch_id, project_id, account_id, reference)
    )`.execute(db)
    await sql`comment on column ledger_transactions.reference is 'Empty: the batch itself. Else what was posted of it later'`.execute(
      db,
    )
    await sql`create index ledger_transactions_project on ledger_transactions (project_id, transaction_id desc)`.execute(
      db,
    )
    await sql`create table ledger_entries (
      transaction_id bigint not null references ledger_transactions,
      ledger_account bigint not null references ledger_accounts,
      amount_nano_usd bigint not null,
      primary key (transaction_id, ledger_account)
    )`.execute(db)
    await sql`create index ledger_entries_account on ledger_entries (ledger_account, transaction_id)`.execute(db)
    await sql`create function check_transaction_balances() returns trigger language plpgsql as $$
      begin
        if (select sum(amount_nano_usd) from ledger_entries where transaction_id = new.transaction_id) <> 0 then
          raise exception 'ledger transaction % does not balance', new.transaction_id using errcode = 'check_violation';
        end if;
        return null;
      end $$`.execute(db)
    await sql`create constraint trigger ledger_entries_balance after insert or update on ledger_entries
      deferrable initially deferred for each row execute function check_transaction_balances()`.execute(db)
  },
}
