import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Rooms that somebody has made, who is in them, and the keys that sign what the server mints. */
export const createRooms: Migration = {
  name: '021-create-rooms',
  async up(db) {
    await sql`create table rooms (
      project_id uuid not null references projects,
      room text not null check (room ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
      version int not null default 0,
      access text not null check (access in ('open', 'members')),
      metadata jsonb not null default '{}',
      annotations jsonb not null default '{}',
      created_by text not null,
      created_at timestamptz not null default now(),
      closed_at timestamptz,
      primary key (project_id, room)
    )`.execute(db)
    await sql`comment on column rooms.access is 'open: whoever may enter rooms; members: those in room_members alone'`.execute(
      db,
    )
    await sql`create table room_members (
      project_id uuid not null,
      room text not null,
      member_id text not null references members,
      created_at timestamptz not null default now(),
      primary key (project_id, room, member_id),
      foreign key (project_id, room) references rooms
    )`.execute(db)
    await sql`create index room_members_member on room_members (member_id)`.execute(db)
    await sql`create unique index api_keys_system on api_keys (project_id, coalesce(member_id, ''))
      where kind = 'system' and revoked_at is null`.execute(db)
  },
}
