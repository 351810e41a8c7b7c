import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Who changed what. Append-only: the trigger refuses what would rewrite it. */
export const createAudit: Migration = {
  name: '003-create-audit',
  async up(db) {
    await sql`create table audit_entries (
      audit_id bigint generated always as identity primary key,
      at timestamptz not null,
      account_id text not null,
      project_id uuid,
      actor_kind text not null,
      actor_id text not null,
      action text not null,
      target text not null,
      before jsonb,
      after jsonb
    )`.execute(db)
    await sql`comment on column audit_entries.after is 'Never holds a secret: credentials appear as present or absent'`.execute(
      db,
    )
    await sql`create index audit_entries_account on audit_entries (account_id, audit_id)`.execute(db)
    await sql`create function refuse_audit_rewrite() returns trigger language plpgsql as
      $$ begin raise exception 'audit entries are never changed'; end $$`.execute(db)
    await sql`create trigger audit_entries_append_only before update or delete or truncate on audit_entries
      execute function refuse_audit_rewrite()`.execute(db)
  },
}
