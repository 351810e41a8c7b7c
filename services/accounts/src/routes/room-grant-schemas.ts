import { Id, lineOfText, RoomName, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { findMemberOfAccountByEmail } from '../member-store.ts'
import { RoomPermissions, unlimited } from '../room-grant.ts'
import type { RoomGrantRow } from '../room-grant-store.ts'

export const RoomGrantsPath = '/accounts/projects/:pid/room-grants'

/** As clients of MeshAgent say whom they grant what, where. */
export const RoomGrantBody = Type.Object(
  {
    /** Its name: a room has no other id. */
    room_id: RoomName,
    user_id: Type.Optional(Id),
    email: Type.Optional(Type.String({ minLength: 3, maxLength: 254, pattern: lineOfText })),
    permissions: RoomPermissions,
  },
  { additionalProperties: false },
)

const GrantedRoom = Type.Object({
  id: Type.String(),
  name: Type.String(),
  metadata: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
  annotations: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
})

export const RoomGrantResponse = Type.Object({
  room: GrantedRoom,
  user_id: Type.String(),
  permissions: RoomPermissions,
})
export const RoomGrantList = Type.Object({ room_grants: Type.Array(RoomGrantResponse) })
export const GrantedRooms = Type.Object({
  rooms: Type.Array(Type.Object({ room: GrantedRoom, count: Type.Integer() })),
})
export const GrantedUsers = Type.Object({
  users: Type.Array(
    Type.Object({
      user_id: Type.String(),
      email: Type.String(),
      first_name: Type.String(),
      last_name: Type.String(),
      count: Type.Integer(),
    }),
  ),
  total: Type.Integer(),
})

/** As clients of MeshAgent ask for pages. */
export const GrantsQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    order_by: Type.Optional(Type.Literal('room_name')),
  },
  { additionalProperties: false },
)
export const GrantedUsersQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    /** Part of an address or a name. */
    filter: Type.Optional(Type.String({ maxLength: 254, pattern: lineOfText })),
  },
  { additionalProperties: false },
)

export function toGrantedRoom(
  row: Pick<RoomGrantRow, 'room' | 'metadata' | 'annotations'>,
): Static<typeof GrantedRoom> {
  return { id: row.room, name: row.room, metadata: row.metadata, annotations: row.annotations }
}

export function toRoomGrantResponse(row: RoomGrantRow): Static<typeof RoomGrantResponse> {
  return { room: toGrantedRoom(row), user_id: row.member_id, permissions: row.permissions ?? unlimited }
}

/** Whom a body names, by one of two names. @throws AppError 400 for whoever is no member of the account */
export async function readMemberId(
  deps: AppDeps,
  request: FastifyRequest,
  { user_id: userId, email }: { user_id?: string; email?: string },
): Promise<string> {
  if ((userId === undefined) === (email === undefined))
    throw errorOf(errors.invalidRequest, { message: 'Send user_id or email, and not both.' })
  if (userId !== undefined) return userId
  const { accountId } = callerOf(request).principal
  const member = await findMemberOfAccountByEmail(deps.db, accountId, email ?? '')
  if (!member) throw errorOf(errors.invalidRequest, { message: 'That is no member of this project.' })
  return member.member_id
}
