import { errorOf } from '@sluice/runtime'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { isMemberOfProject } from './member-store.ts'
import { lockProject } from './project-store.ts'
import type { ParticipantRole, RoomPermissions } from './room-grant.ts'
import {
  announceRoomChange,
  countOpenRooms,
  countRoomMembers,
  deleteRoomMember,
  findRoom,
  findRoomMember,
  insertRoom,
  insertRoomMember,
  markRoomClosed,
  moveRoomMembers,
  type Room,
  type RoomMember,
  type RoomSettings,
  updateRoom,
  updateRoomMember,
} from './room-store.ts'

/** Whom a room may have: gateways hold them in memory. */
export const maxMembers = 5_000

/** Somebody for a room, and what they may do there; null: what they may do in the project. */
export interface RoomGrant {
  memberId: string
  permissions: RoomPermissions | null
  /** As what they enter it. Absent: as before; as a user where they were not in it. */
  role?: ParticipantRole
}

/**
 * Makes a room with its first members, or opens one again that was closed. @throws AppError 400 for members who have no role in
 * the project, 409 where one of that name is open, unless `ifNotExists` asks for it as it is
 */
export async function createRoom(
  change: Change,
  projectId: string,
  wanted: RoomSettings & { room: string; createdBy: string; ifNotExists: boolean; grants: readonly RoomGrant[] },
): Promise<Room> {
  await lockProject(change.trx, projectId)
  const { room, createdBy, ifNotExists, grants, ...settings } = wanted
  if (await insertRoom(change.trx, { ...settings, projectId, room, createdBy, at: new Date(change.nowMs) })) {
    // Counted with it, since one that was there is not made.
    await change.limits.requireRoom('rooms', projectId, async () => (await countOpenRooms(change.trx, projectId)) - 1)
    await change.audit({ action: 'room.created', target: room, projectId, after: settings })
    for (const grant of grants) await letIn(change, projectId, room, grant)
    await announceRoomChange(change, projectId, room)
  } else if (!ifNotExists) throw errorOf(errors.conflict)
  return findOpenRoom(change, projectId, room)
}

/**
 * Replaces what may be set of a room. Under another name it is another room to gateways: this one is closed, and its tokens with
 * it; who is in it and what is noted of it stand under the new name. @throws AppError 404, 409 where that name is taken
 */
export async function changeRoom(
  change: Change,
  projectId: string,
  room: string,
  { name = room, ...wanted }: Partial<RoomSettings> & { name?: string },
): Promise<Room> {
  await lockProject(change.trx, projectId)
  const { access, metadata, annotations, created_by: createdBy } = await findOpenRoom(change, projectId, room)
  const before = { access, metadata, annotations }
  const after = { ...before, ...wanted }
  if (name === room) await updateRoom(change.trx, projectId, room, after)
  else {
    if (!(await insertRoom(change.trx, { ...after, projectId, room: name, createdBy, at: new Date(change.nowMs) })))
      throw errorOf(errors.conflict)
    await moveRoomMembers(change.trx, projectId, room, name)
    await markRoomClosed(change.trx, projectId, room, new Date(change.nowMs))
    await announceRoomChange(change, projectId, name)
  }
  await announceRoomChange(change, projectId, room)
  await change.audit({
    action: 'room.changed',
    target: room,
    projectId,
    before: { name: room, ...before },
    after: { name, ...after },
  })
  return findOpenRoom(change, projectId, name)
}

/** Closes a room: it has no members any more, its calls end, and gateways refuse new ones. @throws AppError 404 */
export async function closeRoom(change: Change, projectId: string, room: string): Promise<void> {
  await lockProject(change.trx, projectId)
  const { access, metadata, annotations } = await findOpenRoom(change, projectId, room)
  await markRoomClosed(change.trx, projectId, room, new Date(change.nowMs))
  await announceRoomChange(change, projectId, room)
  const before = { access, metadata, annotations }
  await change.audit({ action: 'room.closed', target: room, projectId, before })
}

/**
 * Says that somebody is in a room, and what they may do there. @throws AppError 400 for somebody who has no role in the project,
 * 404
 */
export async function putRoomMember(change: Change, projectId: string, room: string, grant: RoomGrant): Promise<void> {
  await lockProject(change.trx, projectId)
  await findOpenRoom(change, projectId, room)
  const before = await findRoomMember(change.trx, projectId, room, grant.memberId)
  if (before && before.permissions === null && grant.permissions === null && isRole(before.role, grant.role)) return
  if (before) await changeGrant(change, projectId, room, before, grant)
  else await letIn(change, projectId, room, grant)
  await announceRoomChange(change, projectId, room)
}

/**
 * Grants somebody a room, which then is for those alone who have a grant. @throws AppError 400 for somebody who has no role in the
 * project, 404, 409 for somebody who has one
 */
export async function grantRoom(change: Change, projectId: string, room: string, grant: RoomGrant): Promise<void> {
  await lockProject(change.trx, projectId)
  const { access, metadata, annotations } = await findOpenRoom(change, projectId, room)
  if (await findRoomMember(change.trx, projectId, room, grant.memberId)) throw errorOf(errors.roomGranted)
  if (access === 'open') {
    await updateRoom(change.trx, projectId, room, { access: 'members', metadata, annotations })
    await change.audit({
      action: 'room.changed',
      target: room,
      projectId,
      before: { access },
      after: { access: 'members' },
    })
  }
  await letIn(change, projectId, room, grant)
  await announceRoomChange(change, projectId, room)
}

/** Changes what somebody may do in a room. @throws AppError 404 */
export async function changeRoomGrant(
  change: Change,
  projectId: string,
  room: string,
  grant: RoomGrant,
): Promise<void> {
  await lockProject(change.trx, projectId)
  await findOpenRoom(change, projectId, room)
  const before = await findRoomMember(change.trx, projectId, room, grant.memberId)
  if (!before) throw notFound()
  await changeGrant(change, projectId, room, before, grant)
  await announceRoomChange(change, projectId, room)
}

/** @throws AppError 404 */
export async function removeRoomMember(
  change: Change,
  projectId: string,
  room: string,
  memberId: string,
): Promise<void> {
  await lockProject(change.trx, projectId)
  await findOpenRoom(change, projectId, room)
  if (!(await deleteRoomMember(change.trx, projectId, room, memberId))) throw notFound()
  await announceRoomChange(change, projectId, room)
  await change.audit({ action: 'room-member.removed', target: room, projectId, before: { member_id: memberId } })
}

const isRole = (before: ParticipantRole, wanted: ParticipantRole | undefined) =>
  wanted === undefined || wanted === before

async function letIn(change: Change, projectId: string, room: string, grant: RoomGrant): Promise<void> {
  const { memberId, permissions, role = 'user' } = grant
  if (!(await isMemberOfProject(change.trx, projectId, memberId)))
    throw errorOf(errors.invalidRequest, { message: 'That is no member of this project.' })
  await insertRoomMember(change.trx, projectId, room, { memberId, permissions, role })
  if ((await countRoomMembers(change.trx, projectId, room)) > maxMembers)
    throw errorOf(errors.invalidRequest, { message: `A room has at most ${maxMembers} members: make it open.` })
  await change.audit({
    action: 'room-member.added',
    target: room,
    projectId,
    after: { member_id: memberId, ...(permissions && { permissions }), ...(role !== 'user' && { role }) },
  })
}

async function changeGrant(
  change: Change,
  projectId: string,
  room: string,
  before: Pick<RoomMember, 'permissions' | 'role'>,
  grant: RoomGrant,
): Promise<void> {
  const { memberId, permissions, role = before.role } = grant
  await updateRoomMember(change.trx, projectId, room, { memberId, permissions, role })
  await change.audit({
    action: 'room-member.changed',
    target: room,
    projectId,
    before: { member_id: memberId, permissions: before.permissions, role: before.role },
    after: { member_id: memberId, permissions, role },
  })
}

async function findOpenRoom(change: Change, projectId: string, room: string): Promise<Room> {
  const found = await findRoom(change.trx, projectId, room)
  if (!found || found.closed_at) throw notFound()
  return found
}
