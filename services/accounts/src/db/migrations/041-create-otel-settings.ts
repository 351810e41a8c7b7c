import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Where projects have the spans of their calls sent. */
export const createOtelSettings: Migration = {
  name: '041-create-otel-settings',
  async up(db) {
    await sql`create table otel_settings (
      project_id uuid primary key references projects,
      endpoint text not null,
      headers_envelope jsonb,
      header_names text[] not null default '{}',
      sample_ratio double precision not null check (sample_ratio between 0 and 1),
      updated_at timestamptz not null
    )`.execute(db)
    await sql`comment on column otel_settings.endpoint is 'Takes OTLP over HTTP, its path /v1/traces included'`.execute(
      db,
    )
    await sql`comment on column otel_settings.headers_envelope is 'A JSON object of names and values, sealed; the names alone are in header_names'`.execute(
      db,
    )
  },
}
