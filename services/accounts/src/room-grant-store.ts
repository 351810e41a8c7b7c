import type { Db } from './db/schema.ts'
import { type MemberFilter, matchesText } from './member-filter-store.ts'
import type { RoomPermissions } from './room-grant.ts'

/** Somebody in a room that is not closed. */
export interface RoomGrantRow {
  room: string
  metadata: Record<string, unknown>
  annotations: Record<string, unknown>
  member_id: string
  /** null: what they may do in the project. */
  permissions: RoomPermissions | null
}

interface Page {
  limit: number
  offset: number
}

/** Who is in which rooms, in the order of the rooms' names: of all, of one room, of one member. */
export function listRoomGrants(
  db: Db,
  projectId: string,
  filter: { room?: string; memberId?: string },
  page: Page,
): Promise<RoomGrantRow[]> {
  return grantsOf(db, projectId)
    .select(['rooms.room', 'rooms.metadata', 'rooms.annotations', 'room_members.member_id', 'permissions'])
    .$if(filter.room !== undefined, query => query.where('rooms.room', '=', filter.room ?? ''))
    .$if(filter.memberId !== undefined, query => query.where('room_members.member_id', '=', filter.memberId ?? ''))
    .orderBy('rooms.room')
    .orderBy('room_members.member_id')
    .limit(page.limit)
    .offset(page.offset)
    .execute()
}

/** The rooms that somebody is in, and how many are. */
export async function countGrantsByRoom(
  db: Db,
  projectId: string,
  page: Page,
): Promise<(Pick<RoomGrantRow, 'room' | 'metadata' | 'annotations'> & { count: number })[]> {
  const rows = await grantsOf(db, projectId)
    .select(({ fn }) => ['rooms.room', 'rooms.metadata', 'rooms.annotations', fn.countAll<string>().as('count')])
    .groupBy(['rooms.project_id', 'rooms.room'])
    .orderBy('rooms.room')
    .limit(page.limit)
    .offset(page.offset)
    .execute()
  return rows.map(row => ({ ...row, count: Number(row.count) }))
}

/** The people who are in some room, how many rooms that are, and how many people. */
export async function countGrantsByMember(
  db: Db,
  projectId: string,
  filter: MemberFilter,
  page: Page,
): Promise<{
  users: { member_id: string; email: string; first_name: string; last_name: string; count: number }[]
  total: number
}> {
  const people = grantsOf(db, projectId)
    .innerJoin('members', 'members.member_id', 'room_members.member_id')
    .$if(filter.text !== undefined, query => query.where(matchesText(filter.text ?? '')))
    .groupBy('members.member_id')
  const rows = await people
    .select(({ fn }) => [
      'members.member_id',
      'members.email',
      'members.first_name',
      'members.last_name',
      fn.countAll<string>().as('count'),
    ])
    .orderBy('members.member_id')
    .limit(page.limit)
    .offset(page.offset)
    .execute()
  const { total } = await db
    .selectFrom(people.select('members.member_id').as('people'))
    .select(({ fn }) => fn.countAll<string>().as('total'))
    .executeTakeFirstOrThrow()
  return { users: rows.map(row => ({ ...row, count: Number(row.count) })), total: Number(total) }
}

function grantsOf(db: Db, projectId: string) {
  return db
    .selectFrom('room_members')
    .innerJoin('rooms', join =>
      join.onRef('rooms.project_id', '=', 'room_members.project_id').onRef('rooms.room', '=', 'room_members.room'),
    )
    .where('room_members.project_id', '=', projectId)
    .where('rooms.closed_at', 'is', null)
}
