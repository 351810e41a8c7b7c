import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Programs that own keys. */
export const createServiceAccounts: Migration = {
  name: '006-create-service-accounts',
  async up(db) {
    await sql`create table service_accounts (
      service_account_id text primary key,
      project_id uuid not null references projects,
      name text not null,
      description text not null default '',
      team_id text,
      metadata jsonb not null default '{}',
      annotations jsonb not null default '{}',
      created_by text not null,
      created_at timestamptz not null default now(),
      disabled_at timestamptz,
      unique (project_id, service_account_id),
      foreign key (project_id, team_id) references teams (project_id, team_id)
    )`.execute(db)
    await sql`comment on column service_accounts.team_id is 'Pays for its keys that name no team of their own'`.execute(
      db,
    )
    await sql`comment on column service_accounts.disabled_at is 'Set: its keys may do nothing, for good'`.execute(db)
    await sql`create unique index service_accounts_name on service_accounts (project_id, lower(name))
      where disabled_at is null`.execute(db)
    await sql`alter table api_keys add foreign key (project_id, service_account_id)
      references service_accounts (project_id, service_account_id)`.execute(db)
    await sql`create index api_keys_service_account on api_keys (service_account_id)
      where service_account_id is not null`.execute(db)
  },
}
