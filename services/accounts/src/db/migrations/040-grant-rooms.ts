import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What those who are in a room may do there. */
export const grantRooms: Migration = {
  name: '040-grant-rooms',
  async up(db) {
    await sql`alter table room_members add column permissions jsonb`.execute(db)
    await sql`comment on column room_members.permissions is 'The API scope of tokens for the room; null: what they may do in the project'`.execute(
      db,
    )
  },
}
