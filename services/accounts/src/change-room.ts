import { errorOf } from '@sluice/runtime'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { isMemberOfProject } from './member-store.ts'
import { lockProject } from './project-store.ts'
import {
  announceRoomChange,
  countRoomMembers,
  deleteRoomMember,
  findRoom,
  insertRoom,
  insertRoomMember,
  markRoomClosed,
  type Room,
  type RoomSettings,
  updateRoom,
} from './room-store.ts'

/** Whom a room may have: gateways hold them in memory. */
const maxMembers = 5_000

/**
 * Makes a room, or opens one again that was closed. @throws AppError 409 where one of that name is open, unless `ifNotExists`
 * asks for it as it is
 */
export async function createRoom(
  change: Change,
  projectId: string,
  wanted: RoomSettings & { room: string; createdBy: string; ifNotExists: boolean },
): Promise<Room> {
  await lockProject(change.trx, projectId)
  const { room, createdBy, ifNotExists, ...settings } = wanted
  if (await insertRoom(change.trx, { ...settings, projectId, room, createdBy, at: new Date(change.nowMs) })) {
    await announceRoomChange(change, projectId, room)
    await change.audit({ action: 'room.created', target: room, projectId, after: settings })
  } else if (!ifNotExists) throw errorOf(errors.conflict)
  return findOpenRoom(change, projectId, room)
}

/** Replaces what may be set of a room. @throws AppError 404 */
export async function changeRoom(
  change: Change,
  projectId: string,
  room: string,
  wanted: Partial<RoomSettings>,
): Promise<Room> {
  await lockProject(change.trx, projectId)
  const { access, metadata, annotations } = await findOpenRoom(change, projectId, room)
  const before = { access, metadata, annotations }
  const after = { ...before, ...wanted }
  await updateRoom(change.trx, projectId, room, after)
  await announceRoomChange(change, projectId, room)
  await change.audit({ action: 'room.changed', target: room, projectId, before, after })
  return findOpenRoom(change, projectId, room)
}

/** Closes a room: it has no members any more, its calls end, and gateways refuse new ones. @throws AppError 404 */
export async function closeRoom(change: Change, projectId: string, room: string): Promise<void> {
  await lockProject(change.trx, projectId)
  await findOpenRoom(change, projectId, room)
  await markRoomClosed(change.trx, projectId, room, new Date(change.nowMs))
  await announceRoomChange(change, projectId, room)
  await change.audit({ action: 'room.closed', target: room, projectId })
}

/** @throws AppError 400 for somebody who has no role in the project, 404 */
export async function addRoomMember(change: Change, projectId: string, room: string, memberId: string): Promise<void> {
  await lockProject(change.trx, projectId)
  await findOpenRoom(change, projectId, room)
  if (!(await isMemberOfProject(change.trx, projectId, memberId)))
    throw errorOf(errors.invalidRequest, { message: 'That is no member of this project.' })
  if (!(await insertRoomMember(change.trx, projectId, room, memberId))) return
  if ((await countRoomMembers(change.trx, projectId, room)) > maxMembers)
    throw errorOf(errors.invalidRequest, { message: `A room has at most ${maxMembers} members: make it open.` })
  await announceRoomChange(change, projectId, room)
  await change.audit({ action: 'room-member.added', target: room, projectId, after: { member_id: memberId } })
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

async function findOpenRoom(change: Change, projectId: string, room: string): Promise<Room> {
  const found = await findRoom(change.trx, projectId, room)
  if (!found || found.closed_at) throw notFound()
  return found
}
