import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Projects that are gone, and whose usage stays. */
export const deleteProjects: Migration = {
  name: '053-delete-projects',
  async up(db) {
    await sql`alter table projects add column deleted_at timestamptz`.execute(db)
    await sql`comment on column projects.deleted_at is 'It is disabled for good and shown to nobody; what it has used stays in the ledger'`.execute(
      db,
    )
  },
}
