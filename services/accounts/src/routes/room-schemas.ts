import { checkOf, RoomName, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import { errors, notFound } from '../errors.ts'
import type { Room, RoomSettings } from '../room-store.ts'
import { isStorable } from '../storable-json.ts'

export const RoomsPath = '/accounts/projects/:pid/rooms'
export interface RoomParams {
  pid: string
  room: string
}

/** What clients note beside, of any form: shown to whoever sees the room, acted on by nobody. */
const AnyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })
const maxNotesBytes = 16_384

/** What may be set of a room. */
export const roomFields = {
  access: Type.Optional(Type.Union([Type.Literal('open'), Type.Literal('members')])),
  metadata: Type.Optional(Type.Union([Type.Null(), AnyObject])),
  annotations: Type.Optional(Type.Union([Type.Null(), AnyObject])),
}
const RoomFields = Type.Object(roomFields)

/** What a body sets; what it does not name stays. @throws AppError 400 for notes that are too large to keep */
export function toRoomSettings({ access, metadata, annotations }: Static<typeof RoomFields>): Partial<RoomSettings> {
  for (const notes of [metadata, annotations])
    if (notes && (!isStorable(notes) || Buffer.byteLength(JSON.stringify(notes)) > maxNotesBytes))
      throw errorOf(errors.invalidRequest, {
        message: `metadata and annotations must be at most ${maxNotesBytes} bytes and 64 levels each, without NUL characters or halves of surrogate pairs.`,
      })
  return {
    ...(access === undefined ? {} : { access }),
    ...(metadata === undefined ? {} : { metadata: metadata ?? {} }),
    ...(annotations === undefined ? {} : { annotations: annotations ?? {} }),
  }
}

export const RoomResponse = Type.Object({
  /** Its name: a room has no other id. */
  id: Type.String(),
  name: Type.String(),
  project_id: Type.String(),
  access: Type.Union([Type.Literal('open'), Type.Literal('members')]),
  metadata: AnyObject,
  annotations: AnyObject,
  created_by: Type.String(),
  created_at: Type.String(),
})

export function toRoomResponse({ room, created_at, closed_at: _, ...rest }: Room): Static<typeof RoomResponse> {
  return { id: room, name: room, ...rest, created_at: created_at.toISOString() }
}

const roomName = checkOf(RoomName)

/** The name of a room in a path. @throws AppError 404 for what is none */
export function roomOf({ room }: RoomParams): string {
  if (!roomName.matches(room)) throw notFound()
  return room
}

/** Whose rooms with members the caller sees beside open ones; undefined: all of them. */
export function visibleTo(request: FastifyRequest): string | null | undefined {
  const { principal, key, permissions } = callerOf(request)
  if (permissions.has('rooms:write')) return undefined
  return principal.kind === 'member' ? principal.id : (key?.member_id ?? null)
}
