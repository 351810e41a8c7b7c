import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { addRoomMember, removeRoomMember } from '../change-room.ts'
import { notFound } from '../errors.ts'
import { ContinuationToken, PageQuery, readPage, toPage } from '../page.ts'
import { findRoom, listRoomMembers } from '../room-store.ts'
import { type RoomParams, RoomsPath, roomOf } from './room-schemas.ts'
import { NoBody, NoContent, responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({
  members: Type.Array(Type.Object({ member_id: Type.String(), added_at: Type.String() })),
  continuation_token: ContinuationToken,
})

/** Who may enter a room that is for its members. */
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
        members: items.map(({ member_id, created_at }) => ({ member_id, added_at: created_at.toISOString() })),
        continuation_token,
      }
    },
  )
  app.put<{ Params: RoomParams & { mid: string } }>(
    `${path}/:mid`,
    {
      config: { access },
      schema: { summary: 'Let a member into a room', body: NoBody, response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, mid } = request.params
      await deps.changes.make(actorOf(request), change => addRoomMember(change, pid, roomOf(request.params), mid))
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
