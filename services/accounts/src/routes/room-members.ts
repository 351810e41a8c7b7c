import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { putRoomMember, removeRoomMember } from '../change-room.ts'
import { notFound } from '../errors.ts'
import { checkRoomPermissions, ParticipantRole, RoomPermissions } from '../room-grant.ts'
import { findRoom, listRoomMembers } from '../room-store.ts'
import { type RoomParams, RoomsPath, roomOf } from './room-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({
  members: Type.Array(
    Type.Object({
      member_id: Type.String(),
      permissions: Type.Union([Type.Null(), RoomPermissions]),
      role: ParticipantRole,
      added_at: Type.String(),
    }),
  ),
  continuation_token: ContinuationToken,
})
const Body = Type.Union([
  Type.Null(),
  Type.Object(
    { permissions: Type.Optional(Type.Union([Type.Null(), RoomPermissions])), role: Type.Optional(ParticipantRole) },
    { additionalProperties: false },
  ),
])

/** Who may enter a room that is for its members, as what, and what they may do there; null: what they may do in the project. */
export function registerRoomMembers(app: FastifyInstance, deps: AppDeps): void {
  const access = 'rooms:write' as const
  const path = `${RoomsPath}/:room/members`
  app.get<{ Params: RoomParams; Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access },
      schema: { summary: 'List members of a room', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const room = await findRoom(deps.db, pid, roomOf(request.params))
      if (!room || room.closed_at) throw notFound()
      const list = `room-members ${pid} ${room.room}`
      const page = readPage(list, request.query)
      const rows = await listRoomMembers(deps.db, pid, room.room, { after: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(list, page, rows, row => row.member_id)
      return {
        members: items.map(({ created_at, ...member }) => ({ ...member, added_at: created_at.toISOString() })),
        continuation_token,
      }
    },
  )
  app.put<{ Params: RoomParams & { mid: string }; Body: Static<typeof Body> | undefined }>(
    `${path}/:mid`,
    {
      config: { access },
      schema: { summary: 'Let a member into a room', body: Body, response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, mid: memberId } = request.params
      const wanted = request.body?.permissions
      const permissions = wanted ? checkRoomPermissions(wanted) : null
      const grant = { memberId, permissions, role: request.body?.role ?? 'user' }
      await deps.changes.make(actorOf(request), change => putRoomMember(change, pid, roomOf(request.params), grant))
      return reply.code(204).send()
    },
  )
  app.delete<{ Params: RoomParams & { mid: string } }>(
    `${path}/:mid`,
    {
      config: { access },
      schema: { summary: 'Put a member out of a room', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, mid } = request.params
      await deps.changes.make(actorOf(request), change => removeRoomMember(change, pid, roomOf(request.params), mid))
      return reply.code(204).send()
    },
  )
}
