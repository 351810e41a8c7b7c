import type { CallIdentity, Project } from '@sluice/contracts'
import { Refusal } from './refusal.ts'
import type { KeysView } from './views/keys-view.ts'
import type { RoomState, RoomsView } from './views/rooms-view.ts'

export interface RoomDeps {
  rooms: Pick<RoomsView, 'find'>
  /** Knows which keys sign for the server. */
  keys: Pick<KeysView, 'findById'>
}

/**
 * Requires that the room of a call, where it has one, takes it.
 * @returns the models that a grant for the room limits the call to, if one does @throws Refusal 403
 */
export function requireRoom(
  { rooms, keys }: RoomDeps,
  identity: CallIdentity,
  project: Project,
): readonly string[] | undefined {
  if (identity.room === undefined) return undefined
  const state = rooms.find(project.project_id, identity.room)
  if (state === undefined && project.unknown_rooms === 'deny')
    throw new Refusal(
      'room_unknown',
      `There is no room "${identity.room}" in this project. Create it, or ask a project admin.`,
    )
  const refusal = state && refusalOfRoom(state, identity, keys)
  if (refusal) throw refusal
  return state && grantedModels(state, identity, keys)
}

/**
 * Why a room that stands so does not take a call; undefined: it does. Whom a token of the server's names has to be a member of
 * a room that has some, and calls there what their grant opens. Whoever holds a key of the project is not asked: they let in
 * whom they like.
 */
export function refusalOfRoom(state: RoomState, identity: CallIdentity, keys: RoomDeps['keys']): Refusal | undefined {
  const { room } = identity
  if (state === 'closed') return roomClosed(room)
  if (state === 'open') return undefined
  const memberId = askedMember(identity, keys)
  if (memberId === undefined) return undefined
  if (state.members?.has(memberId) === false)
    return new Refusal('room_not_granted', `You are no member of room "${room}". Ask somebody who manages it.`)
  return state.models?.get(memberId)?.length === 0
    ? new Refusal('llm_not_granted', `Your grant for room "${room}" opens no models. Ask somebody who manages it.`)
    : undefined
}

function grantedModels(
  state: RoomState,
  identity: CallIdentity,
  keys: RoomDeps['keys'],
): readonly string[] | undefined {
  if (typeof state === 'string') return undefined
  const memberId = askedMember(identity, keys)
  return memberId === undefined ? undefined : state.models?.get(memberId)
}

/** Whom a token of the server's names. */
function askedMember({ credential_kind, member_id, key_id }: CallIdentity, keys: RoomDeps['keys']): string | undefined {
  if (credential_kind !== 'participant_token' || member_id === undefined || key_id === undefined) return undefined
  return keys.findById(key_id)?.key.system ? member_id : undefined
}

export function roomClosed(room: string | undefined): Refusal {
  return new Refusal('room_closed', `Room "${room}" is closed. Use another one.`)
}
