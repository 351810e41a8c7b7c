import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createAuditEntries: Migration = {
  name: '003-create-audit-entries',
  async up(db) {
    await sql`create table audit_entries (
      id bigint generated always as identity primary key,
      at_ms bigint not null,
      actor_kind text not null,
      actor_id text not null,
      project_id uuid not null,
      budget_id text not null,
      action text not null check (action in ('created', 'changed', 'deleted')),
      before jsonb,
      after jsonb
    )`.execute(db)
    await sql`create index audit_entries_by_project on audit_entries (project_id, id)`.execute(db)
  },
}
