import { RoomName, Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeRoom, closeRoom, createRoom, type RoomGrant } from '../change-room.ts'
import { createOnce } from '../create-once.ts'
import { notFound } from '../errors.ts'
import { checkRoomPermissions, RoomPermissions } from '../room-grant.ts'
import { findRoom, findRoomMember, listRooms } from '../room-store.ts'
import { readMemberId } from './room-grant-schemas.ts'
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
    /** Whom it is for, by their ids or addresses, and what each may do there: where it names somebody, it is for them alone. */
    permissions: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 254 }), RoomPermissions, { maxProperties: 500 }),
    ),
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
      schema: {
        summary: 'Create a room',
        example: { name: 'lab', access: 'members' },
        body: NewRoomBody,
        response: responses({ 200: RoomResponse }),
      },
    },
    async request => {
      const { name: room, if_not_exists: ifNotExists = false } = request.body
      const createdBy = callerOf(request).principal.id
      const grants = await readGrants(deps, request)
      const access = grants.length > 0 ? 'members' : 'open'
      const settings = { access, metadata: {}, annotations: {}, ...toRoomSettings(request.body) } as const
      return createOnce(deps, request, async change => {
        const wanted = { ...settings, room, createdBy, ifNotExists, grants }
        return toRoomResponse(await createRoom(change, request.params.pid, wanted))
      })
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
        if (seen === null || !(await findRoomMember(deps.db, pid, room.room, seen))) throw notFound()
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
      const { name } = request.body
      const wanted = { ...toRoomSettings(request.body), ...(name === undefined ? {} : { name }) }
      return deps.changes.make(actorOf(request), async change =>
        toRoomResponse(await changeRoom(change, request.params.pid, roomOf(request.params), wanted)),
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

/** @throws AppError 400 for whoever is no member of the project */
async function readGrants(
  deps: AppDeps,
  request: FastifyRequest<{ Params: { pid: string }; Body: Static<typeof NewRoomBody> }>,
): Promise<RoomGrant[]> {
  const grants = new Map<string, RoomGrant>()
  for (const [person, permissions] of Object.entries(request.body.permissions ?? {})) {
    const memberId = await readMemberId(deps, request, person.includes('@') ? { email: person } : { user_id: person })
    grants.set(memberId, { memberId, permissions: checkRoomPermissions(permissions) })
  }
  return [...grants.values()]
}
