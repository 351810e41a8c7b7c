import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Several integrations of a project at one provider: its own and its teams', in use and on standby. */
export const extendIntegrations: Migration = {
  name: '030-extend-integrations',
  async up(db) {
    await sql`alter table integrations
      add column name text not null default 'default',
      add column team_id text,
      add column standby boolean not null default false,
      add column credential_from jsonb,
      add column headers_envelope jsonb,
      add column header_names text[] not null default '{}',
      add column organization text,
      add column provider_project text,
      alter column envelope drop not null,
      drop constraint integrations_project_id_dialect_key,
      add foreign key (project_id, team_id) references teams (project_id, team_id)`.execute(db)
    await sql`alter table integrations alter column name drop default`.execute(db)
    await sql`create unique index integrations_name on integrations (project_id, dialect, lower(name))`.execute(db)
    await sql`create unique index integrations_in_use on integrations (project_id, dialect, coalesce(team_id, ''))
      where not standby`.execute(db)
    await sql`comment on column integrations.standby is 'Kept for routes and tests; calls do not go by it of themselves'`.execute(
      db,
    )
    await sql`comment on column integrations.envelope is 'The credential, sealed; null: credential_from says where it stands'`.execute(
      db,
    )
    await sql`comment on column integrations.headers_envelope is 'A JSON object of names and values, sealed; the names alone are in header_names'`.execute(
      db,
    )
  },
}
