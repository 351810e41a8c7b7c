import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** The operator's own access to providers, one each, for projects that bring none. Of no account: only operators see it. */
export const createManagedIntegrations: Migration = {
  name: '051-create-managed-integrations',
  async up(db) {
    await sql`create table managed_integrations (
      dialect text primary key check (dialect in ('openai', 'anthropic')),
      integration_id text not null unique,
      version integer not null,
      base_url text,
      envelope jsonb,
      api_key_hint text,
      credential_from jsonb,
      headers_envelope jsonb,
      header_names text[] not null default '{}',
      organization text,
      provider_project text,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`.execute(db)
    await sql`comment on table managed_integrations is 'Shaped and sealed as integrations are, for the installation in place of a project'`.execute(
      db,
    )
    await sql`comment on column managed_integrations.version is 'Counts up while the row is there; one that is made anew has another integration_id'`.execute(
      db,
    )
  },
}
