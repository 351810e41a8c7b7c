import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** As what somebody is in a room. */
export const nameRoomRoles: Migration = {
  name: '052-name-room-roles',
  async up(db) {
    await sql`alter table room_members add column role text not null default 'user'
      check (role in ('user', 'agent', 'tool'))`.execute(db)
    await sql`comment on column room_members.role is 'The role of the tokens by which they enter the room'`.execute(db)
  },
}
