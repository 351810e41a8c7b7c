import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Changes of other services in the trail, each once, and what of them nobody can read. */
export const hearOfChanges: Migration = {
  name: '056-hear-of-changes',
  async up(db) {
    await sql`alter table audit_entries add column entry_id uuid unique`.execute(db)
    await sql`comment on column audit_entries.entry_id is 'By which another service has told of the change; null: it was made here'`.execute(
      db,
    )
    await sql`create table unread_changes (
      unread_id bigint generated always as identity primary key,
      received_at timestamptz not null,
      subject text not null,
      reason text not null,
      content bytea not null
    )`.execute(db)
    await sql`comment on table unread_changes is 'Messages of other services for the trail that are not what they must be'`.execute(
      db,
    )
  },
}
