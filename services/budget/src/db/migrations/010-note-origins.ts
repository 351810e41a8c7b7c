import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** From where budgets were changed. */
export const noteOrigins: Migration = {
  name: '010-note-origins',
  async up(db) {
    await sql`alter table audit_entries add column from_address text, add column user_agent text`.execute(db)
    await sql`comment on column audit_entries.from_address is 'Null: no request has asked for it, or it was before this was noted'`.execute(
      db,
    )
  },
}
