import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What callers prove themselves with, and what projects prove themselves with at providers. */
export const createCredentials: Migration = {
  name: '002-create-credentials',
  async up(db) {
    await sql`create table api_keys (
      key_id uuid primary key,
      project_id uuid not null references projects,
      version int not null default 1,
      team_id text,
      member_id text,
      service_account_id text,
      name text not null,
      description text not null default '',
      role text not null check (role in ('member', 'developer', 'admin')),
      models jsonb,
      created_by text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      revoked_at timestamptz,
      withdrawn_at timestamptz,
      foreign key (project_id, team_id) references teams (project_id, team_id),
      foreign key (member_id) references members
    )`.execute(db)
    await sql`comment on column api_keys.member_id is 'Whose calls those with this key are; null: nobody''s in particular'`.execute(
      db,
    )
    await sql`create index api_keys_project on api_keys (project_id, created_at)`.execute(db)
    await sql`create index api_keys_to_withdraw on api_keys (revoked_at) where revoked_at is not null and withdrawn_at is null`.execute(
      db,
    )
    await sql`comment on column api_keys.withdrawn_at is 'When the revoked key left KV; until then gateways see it as revoked'`.execute(
      db,
    )
    await sql`create table api_key_secrets (
      secret_id text primary key,
      key_id uuid not null references api_keys,
      hash text not null unique,
      envelope jsonb not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz
    )`.execute(db)
    await sql`create index api_key_secrets_key on api_key_secrets (key_id)`.execute(db)
    await sql`comment on column api_key_secrets.hash is 'SHA-256, hex, of the whole key string'`.execute(db)
    await sql`comment on column api_key_secrets.envelope is 'The secret part, sealed for this key and project'`.execute(
      db,
    )
    await sql`create table integrations (
      integration_id text primary key,
      project_id uuid not null references projects,
      dialect text not null check (dialect in ('openai', 'anthropic')),
      base_url text,
      envelope jsonb not null,
      api_key_hint text,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      unique (project_id, dialect)
    )`.execute(db)
    await sql`comment on column integrations.base_url is 'Without a trailing slash; null: the provider''s own'`.execute(
      db,
    )
    await sql`comment on column integrations.api_key_hint is 'Last characters, to recognise it by; null: none was given'`.execute(
      db,
    )
    await sql`create table sessions (
      token_hash text primary key,
      member_id text not null references members,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null
    )`.execute(db)
    await sql`create index sessions_member on sessions (member_id)`.execute(db)
    await sql`create index sessions_expires on sessions (expires_at)`.execute(db)
  },
}
