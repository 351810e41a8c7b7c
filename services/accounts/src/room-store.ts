import type { Room as RoomDocument } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { sql } from 'kysely'
import { announceRoom } from './announcement.ts'
import type { Change } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { errors } from './errors.ts'
import { modelsOfGrant, type ParticipantRole, type RoomPermissions } from './room-grant.ts'

/** `open`: whoever may enter rooms; `members`: those who are in it alone. */
export type RoomAccess = 'open' | 'members'

/** A place that calls can be made in, by its name. */
export interface Room {
  room: string
  project_id: string
  access: RoomAccess
  metadata: Record<string, unknown>
  annotations: Record<string, unknown>
  created_by: string
  created_at: Date
  closed_at: Date | null
}

/** What may be set of a room. */
export type RoomSettings = Pick<Room, 'access' | 'metadata' | 'annotations'>

const columns = [
  'room',
  'project_id',
  'access',
  'metadata',
  'annotations',
  'created_by',
  'created_at',
  'closed_at',
] as const

/** Makes a room, or opens again one that was closed; false where one of that name is open. */
export async function insertRoom(
  db: Db,
  room: RoomSettings & { projectId: string; room: string; createdBy: string; at: Date },
): Promise<boolean> {
  const settings = toColumns(room)
  const made = { created_by: room.createdBy, created_at: room.at, closed_at: null }
  const result = await db
    .insertInto('rooms')
    .values({ project_id: room.projectId, room: room.room, ...settings, ...made })
    .onConflict(conflict =>
      conflict
        .columns(['project_id', 'room'])
        .doUpdateSet({ ...settings, created_by: room.createdBy, closed_at: null })
        .where('rooms.closed_at', 'is not', null),
    )
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

export async function updateRoom(db: Db, projectId: string, room: string, settings: RoomSettings): Promise<void> {
  await db
    .updateTable('rooms')
    .set(toColumns(settings))
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .execute()
}

export async function markRoomClosed(db: Db, projectId: string, room: string, at: Date): Promise<void> {
  await db
    .updateTable('rooms')
    .set({ closed_at: at })
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .execute()
  await db.deleteFrom('room_members').where('project_id', '=', projectId).where('room', '=', room).execute()
}

export function findRoom(db: Db, projectId: string, room: string): Promise<Room | undefined> {
  return db
    .selectFrom('rooms')
    .select(columns)
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .executeTakeFirst()
}

/**
 * The rooms of a project that are not closed, by their names.
 * @param options.visibleTo a member, or null for nobody in particular: of rooms with members those alone that have them
 */
export function listRooms(
  db: Db,
  projectId: string,
  options: { visibleTo?: string | null; after: string | undefined; offset: number; limit: number },
): Promise<Room[]> {
  const { visibleTo, after } = options
  return db
    .selectFrom('rooms')
    .select(columns)
    .where('project_id', '=', projectId)
    .where('closed_at', 'is', null)
    .$if(visibleTo !== undefined, query =>
      query.where(({ eb, or, exists, selectFrom }) =>
        or([
          eb('access', '=', 'open'),
          exists(
            selectFrom('room_members')
              .select('member_id')
              .whereRef('room_members.project_id', '=', 'rooms.project_id')
              .whereRef('room_members.room', '=', 'rooms.room')
              .where('member_id', '=', visibleTo ?? ''),
          ),
        ]),
      ),
    )
    .$if(after !== undefined, query => query.where('room', '>', after ?? ''))
    .orderBy('room')
    .offset(options.offset)
    .limit(options.limit)
    .execute()
}

/** Somebody in a room, and what they may do there; null: what they may do in the project. */
export interface RoomMember {
  member_id: string
  permissions: RoomPermissions | null
  role: ParticipantRole
  created_at: Date
}

/** The members of a room, behind an id. */
export function listRoomMembers(
  db: Db,
  projectId: string,
  room: string,
  page: { after: string | undefined; limit: number },
): Promise<RoomMember[]> {
  return db
    .selectFrom('room_members')
    .select(['member_id', 'permissions', 'role', 'created_at'])
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .$if(page.after !== undefined, query => query.where('member_id', '>', page.after ?? ''))
    .orderBy('member_id')
    .limit(page.limit)
    .execute()
}

export async function countOpenRooms(db: Db, projectId: string): Promise<number> {
  const row = await db
    .selectFrom('rooms')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .where('closed_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

export async function countRoomMembers(db: Db, projectId: string, room: string): Promise<number> {
  const row = await db
    .selectFrom('room_members')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

export function findRoomMember(
  db: Db,
  projectId: string,
  room: string,
  memberId: string,
): Promise<RoomMember | undefined> {
  return db
    .selectFrom('room_members')
    .select(['member_id', 'permissions', 'role', 'created_at'])
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .where('member_id', '=', memberId)
    .executeTakeFirst()
}

/** False where they were one before. */
export async function insertRoomMember(
  db: Db,
  projectId: string,
  room: string,
  { memberId, permissions, role }: { memberId: string; permissions: RoomPermissions | null; role: ParticipantRole },
): Promise<boolean> {
  const result = await db
    .insertInto('room_members')
    .values({
      project_id: projectId,
      room,
      member_id: memberId,
      permissions: permissions && JSON.stringify(permissions),
      role,
    })
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

export async function updateRoomMember(
  db: Db,
  projectId: string,
  room: string,
  { memberId, permissions, role }: { memberId: string; permissions: RoomPermissions | null; role: ParticipantRole },
): Promise<void> {
  await db
    .updateTable('room_members')
    .set({ permissions: permissions && JSON.stringify(permissions), role })
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .where('member_id', '=', memberId)
    .execute()
}

/** Puts everybody of a room into another one. */
export async function moveRoomMembers(db: Db, projectId: string, from: string, to: string): Promise<void> {
  await db
    .updateTable('room_members')
    .set({ room: to })
    .where('project_id', '=', projectId)
    .where('room', '=', from)
    .execute()
}

/** False where they were none. */
export async function deleteRoomMember(db: Db, projectId: string, room: string, memberId: string): Promise<boolean> {
  const result = await db
    .deleteFrom('room_members')
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .where('member_id', '=', memberId)
    .executeTakeFirst()
  return result.numDeletedRows === 1n
}

/** Takes somebody out of every room of a project. @returns the rooms they were in */
export async function deleteRoomMemberships(db: Db, projectId: string, memberId: string): Promise<string[]> {
  const rows = await db
    .deleteFrom('room_members')
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .returning('room')
    .execute()
  return rows.map(row => row.room).sort()
}

/** Documents of a project's rooms, closed ones too: by their names, or a page behind one. */
export async function readRoomDocuments(
  db: Db,
  projectId: string,
  which: { rooms: readonly string[] } | { after: string; limit: number },
): Promise<RoomDocument[]> {
  const rows = await db
    .selectFrom('rooms')
    .select(({ selectFrom }) => [
      'project_id',
      'room',
      'version',
      'access',
      'closed_at',
      selectFrom('room_members')
        .select(sql<string[]>`array_agg(room_members.member_id order by room_members.member_id)`.as('ids'))
        .whereRef('room_members.project_id', '=', 'rooms.project_id')
        .whereRef('room_members.room', '=', 'rooms.room')
        .as('member_ids'),
      selectFrom('room_members')
        .select(
          sql<
            Record<string, RoomPermissions>
          >`jsonb_object_agg(room_members.member_id, jsonb_build_object('llm', permissions -> 'llm'))`.as('limits'),
        )
        .whereRef('room_members.project_id', '=', 'rooms.project_id')
        .whereRef('room_members.room', '=', 'rooms.room')
        .where('permissions', 'is not', null)
        .as('limits'),
    ])
    .where('project_id', '=', projectId)
    .where('rooms' in which ? sql<boolean>`room = any(${which.rooms}::text[])` : sql<boolean>`room > ${which.after}`)
    .orderBy('room')
    .limit('limit' in which ? which.limit : which.rooms.length)
    .execute()
  return rows.map(row => ({
    project_id: row.project_id,
    room: row.room,
    version: row.version,
    closed: row.closed_at !== null,
    ...(row.access === 'members' ? { member_ids: row.member_ids ?? [] } : {}),
    ...memberModels(row.limits),
  }))
}

/** What gateways have to know of grants: whom of the members which models are open to. */
function memberModels(limits: Record<string, RoomPermissions> | null): Pick<RoomDocument, 'member_models'> {
  const lists = Object.entries(limits ?? {}).flatMap(([memberId, permissions]) => {
    const models = modelsOfGrant(permissions)
    return models ? [[memberId, [...models]] satisfies [string, string[]]] : []
  })
  return lists.length === 0 ? {} : { member_models: Object.fromEntries(lists) }
}

/** NATS takes messages of 1 MB. */
const maxDocumentBytes = 900_000

/**
 * Gives a room its next version and announces it, with its project locked. @throws AppError 409 where gateways would have to know
 * too much of it
 */
export async function announceRoomChange(change: Change, projectId: string, room: string): Promise<void> {
  await change.trx
    .updateTable('rooms')
    .set(({ eb }) => ({ version: eb('version', '+', 1) }))
    .where('project_id', '=', projectId)
    .where('room', '=', room)
    .execute()
  const documents = await readRoomDocuments(change.trx, projectId, { rooms: [room] })
  const announcements = documents.map(announceRoom)
  if (announcements.some(({ payload }) => Buffer.byteLength(payload) > maxDocumentBytes))
    throw errorOf(errors.roomTooLarge)
  await change.announce(announcements)
}

function toColumns(settings: RoomSettings) {
  return {
    access: settings.access,
    metadata: JSON.stringify(settings.metadata),
    annotations: JSON.stringify(settings.annotations),
  }
}
