import { RoomName, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeRoom, closeRoom, createRoom } from '../change-room.ts'
import { createOnce } from '../create-once.ts'
import { errors, notFound } from '../errors.ts'
import { ContinuationToken, PageQuery, readPage, toPage } from '../page.ts'
import { findRoom, isRoomMember, listRooms } from '../room-store.ts'
import {
  type RoomParams,
  RoomResponse,
  RoomsPath,
  roomFields,
  roomOf,
  toRoomResponse,
  toRoomSettings,
  visibleTo,
} from './room-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'

const Query = Type.Object(
  {
    ...PageQuery,
    /** As older clients ask for pages. */
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
    order_by: Type.Optional(Type.Literal('room_name')),
  },
  { additionalProperties: false },
)
const NewRoomBody = Type.Object(
  {
    name: RoomName,
    if_not_exists: Type.Optional(Type.Boolean()),
    /** What clients of MeshAgent grant people in a room: taken and ignored, since rights come from the project. */
    permissions: Type.Optional(Type.Object({}, { additionalProperties: true })),
    ...roomFields,
  },
  { additionalProperties: false },
)
const RoomBody = Type.Object({ name: Type.Optional(RoomName), ...roomFields }, { additionalProperties: false })
const Response = Type.Object({ rooms: Type.Array(RoomResponse), continuation_token: ContinuationToken })

/** The rooms of a project. Who manages none sees those that they may enter. */
export function registerRooms(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    RoomsPath,
    {
      config: { access: 'rooms:connect' },
      schema: { summary: 'List rooms', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const { limit, offset = 0 } = request.query
      const list = `rooms ${pid}`
      const page = readPage(list, request.query, limit)
      const seen = visibleTo(request)
      const rows = await listRooms(deps.db, pid, {
        ...(seen === undefined ? {} : { visibleTo: seen }),
        after: page.after,
        offset,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage(list, page, rows, row => row.room)
      return { rooms: items.map(toRoomResponse), continuation_token }
    },
  )
  app.post<{ Params: { pid: string }; Body: Static<typeof NewRoomBody> }>(
    RoomsPath,
    {
      config: { access: 'rooms:write', idempotent: true },
      schema: { summary: 'Create a room', body: NewRoomBody, response: responses({ 200: RoomResponse }) },
    },
    async request => {
      const { name: room, if_not_exists: ifNotExists = false } = request.body
      const createdBy = callerOf(request).principal.id
      const settings = { access: 'open', metadata: {}, annotations: {}, ...toRoomSettings(request.body) } as const
      return createOnce(deps, request, async change =>
        toRoomResponse(await createRoom(change, request.params.pid, { ...settings, room, createdBy, ifNotExists })),
      )
    },
  )
  app.get<{ Params: RoomParams }>(
    `${RoomsPath}/:room`,
    {
      config: { access: 'rooms:connect' },
      schema: { summary: 'Get one room', response: responses({ 200: RoomResponse }) },
    },
    async request => {
      const { pid } = request.params
      const room = await findRoom(deps.db, pid, roomOf(request.params))
      const seen = visibleTo(request)
      if (!room || room.closed_at) throw notFound()
      if (room.access === 'members' && seen !== undefined)
        if (seen === null || !(await isRoomMember(deps.db, pid, room.room, seen))) throw notFound()
      return toRoomResponse(room)
    },
  )
  app.put<{ Params: RoomParams; Body: Static<typeof RoomBody> }>(
    `${RoomsPath}/:room`,
    {
      config: { access: 'rooms:write' },
      schema: { summary: 'Change a room', body: RoomBody, response: responses({ 200: RoomResponse }) },
    },
    async request => {
      const room = roomOf(request.params)
      if (request.body.name !== undefined && request.body.name !== room)
        throw errorOf(errors.invalidRequest, { message: 'A room keeps its name: tokens say it.' })
      return deps.changes.make(actorOf(request), async change =>
        toRoomResponse(await changeRoom(change, request.params.pid, room, toRoomSettings(request.body))),
      )
    },
  )
  app.delete<{ Params: RoomParams }>(
    `${RoomsPath}/:room`,
    {
      config: { access: 'rooms:write' },
      schema: { summary: 'Close a room', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const room = roomOf(request.params)
      await deps.changes.make(actorOf(request), change => closeRoom(change, request.params.pid, room))
      return reply.code(204).send()
    },
  )
}
