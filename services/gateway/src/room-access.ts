import type { CallIdentity, Project } from '@sluice/contracts'
import { Refusal } from './refusal.ts'
import type { RoomState, RoomsView } from './views/rooms-view.ts'

/** Requires that the room of a call, where it has one, takes it. @throws Refusal 403 */
export function requireRoom(rooms: RoomsView, identity: CallIdentity, project: Project): void {
  if (identity.room === undefined) return
  const state = rooms.find(project.project_id, identity.room)
  if (state === undefined && project.unknown_rooms === 'deny')
    throw new Refusal(
      'room_unknown',
      `There is no room "${identity.room}" in this project. Create it, or ask a project admin.`,
    )
  const refusal = state && refusalOfRoom(state, identity)
  if (refusal) throw refusal
}

/**
 * Why a room that stands so does not take a call; undefined: it does. Whom a token of the server's names has to be a member of
 * a room that has some. Whoever holds a key of the project is not asked: they let in whom they like.
 */
export function refusalOfRoom(state: RoomState, identity: CallIdentity): Refusal | undefined {
  const { room, credential_kind, member_id } = identity
  if (state === 'closed') return roomClosed(room)
  if (state === 'open' || credential_kind !== 'participant_token' || member_id === undefined) return undefined
  return state.has(member_id)
    ? undefined
    : new Refusal('room_not_granted', `You are no member of room "${room}". Ask somebody who manages it.`)
}

export function roomClosed(room: string | undefined): Refusal {
  return new Refusal('room_closed', `Room "${room}" is closed. Use another one.`)
}
