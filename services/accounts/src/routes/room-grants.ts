import { errorOf } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeRoomGrant, grantRoom, removeRoomMember } from '../change-room.ts'
import { createOnce } from '../create-once.ts'
import { errors, notFound } from '../errors.ts'
import { isMemberOfProject } from '../member-store.ts'
import { checkRoomPermissions } from '../room-grant.ts'
import { countGrantsByMember, countGrantsByRoom, listRoomGrants } from '../room-grant-store.ts'
import { findRoom } from '../room-store.ts'
import {
  GrantedRooms,
  GrantedUsers,
  GrantedUsersQuery,
  GrantsQuery,
  RoomGrantBody,
  RoomGrantList,
  RoomGrantResponse,
  RoomGrantsPath,
  readMemberId,
  toGrantedRoom,
  toRoomGrantResponse,
} from './room-grant-schemas.ts'
import { type RoomParams, roomOf } from './room-schemas.ts'
import { Done, NoContent, responses } from './route-schemas.ts'

type GrantParams = RoomParams & { uid: string }

/** Who is in rooms and what they may do there, as clients of MeshAgent ask for it: the members of rooms, said in other words. */
export function registerRoomGrants(app: FastifyInstance, deps: AppDeps): void {
  const config = { access: 'rooms:write' } as const
  const pageOf = ({ limit = 50, offset = 0 }: Static<typeof GrantsQuery>) => ({ limit, offset })

  app.get<{ Params: { pid: string }; Querystring: Static<typeof GrantsQuery> }>(
    RoomGrantsPath,
    {
      config,
      schema: {
        summary: 'List who is in which rooms',
        querystring: GrantsQuery,
        response: responses({ 200: RoomGrantList }),
      },
    },
    async request => {
      const rows = await listRoomGrants(deps.db, request.params.pid, {}, pageOf(request.query))
      return { room_grants: rows.map(toRoomGrantResponse) }
    },
  )
  app.post<{ Params: { pid: string }; Body: Static<typeof RoomGrantBody> }>(
    RoomGrantsPath,
    {
      config: { ...config, idempotent: true },
      schema: {
        summary: 'Grant somebody a room',
        example: { room_id: 'lab', email: 'ada@example.com', permissions: { llm: { models: ['openai/*'] } } },
        body: RoomGrantBody,
        response: responses({ 200: Done }),
      },
    },
    async request => {
      const { room_id: room } = request.body
      const permissions = checkRoomPermissions(request.body.permissions)
      const memberId = await readMemberId(deps, request, request.body)
      return createOnce(deps, request, async change => {
        await grantRoom(change, request.params.pid, room, { memberId, permissions })
        return { ok: true as const }
      })
    },
  )
  app.put<{ Params: { pid: string; gid: string }; Body: Static<typeof RoomGrantBody> }>(
    // Grants have no ids: room and person of the body are its name, whatever the path says.
    `${RoomGrantsPath}/:gid`,
    {
      config,
      schema: { summary: 'Change what is granted in a room', body: RoomGrantBody, response: responses({ 200: Done }) },
    },
    async request => {
      const { room_id: room } = request.body
      const permissions = checkRoomPermissions(request.body.permissions)
      const memberId = await readMemberId(deps, request, request.body)
      const { pid } = request.params
      await deps.changes.make(actorOf(request), change => changeRoomGrant(change, pid, room, { memberId, permissions }))
      return { ok: true as const }
    },
  )
  app.get<{ Params: { pid: string }; Querystring: Static<typeof GrantsQuery> }>(
    `${RoomGrantsPath}/by-room`,
    {
      config,
      schema: {
        summary: 'Count who is in rooms, by room',
        querystring: GrantsQuery,
        response: responses({ 200: GrantedRooms }),
      },
    },
    async request => {
      const rows = await countGrantsByRoom(deps.db, request.params.pid, pageOf(request.query))
      return { rooms: rows.map(row => ({ room: toGrantedRoom(row), count: row.count })) }
    },
  )
  app.get<{ Params: { pid: string }; Querystring: Static<typeof GrantedUsersQuery> }>(
    `${RoomGrantsPath}/by-user`,
    {
      // It shows names and addresses.
      config: { access: 'members:write' },
      schema: {
        summary: 'Count who is in rooms, by person',
        querystring: GrantedUsersQuery,
        response: responses({ 200: GrantedUsers }),
      },
    },
    async request => {
      const { limit = 100, offset = 0, filter: text } = request.query
      const { users, total } = await countGrantsByMember(deps.db, request.params.pid, { text }, { limit, offset })
      return { users: users.map(({ member_id, ...rest }) => ({ user_id: member_id, ...rest })), total }
    },
  )
  app.get<{ Params: RoomParams; Querystring: Static<typeof GrantsQuery> }>(
    `${RoomGrantsPath}/by-room/:room`,
    {
      config,
      schema: {
        summary: 'List who is in a room, with their grants',
        querystring: GrantsQuery,
        response: responses({ 200: RoomGrantList }),
      },
    },
    async request => {
      const { pid } = request.params
      const room = await findRoom(deps.db, pid, roomOf(request.params))
      if (!room || room.closed_at) throw notFound()
      const rows = await listRoomGrants(deps.db, pid, { room: room.room }, pageOf(request.query))
      return { room_grants: rows.map(toRoomGrantResponse) }
    },
  )
  app.get<{ Params: { pid: string; uid: string }; Querystring: Static<typeof GrantsQuery> }>(
    `${RoomGrantsPath}/by-user/:uid`,
    {
      config: { access: 'rooms:connect' },
      schema: {
        summary: 'List the rooms that somebody is in',
        querystring: GrantsQuery,
        response: responses({ 200: RoomGrantList }),
      },
    },
    async request => {
      const { pid, uid } = request.params
      const memberId = readOwnOrManaged(request, uid)
      if (!(await isMemberOfProject(deps.db, pid, memberId))) throw notFound()
      const rows = await listRoomGrants(deps.db, pid, { memberId }, pageOf(request.query))
      return { room_grants: rows.map(toRoomGrantResponse) }
    },
  )
  app.get<{ Params: GrantParams }>(
    `${RoomGrantsPath}/:room/:uid`,
    {
      config: { access: 'rooms:connect' },
      schema: { summary: 'Get what somebody may do in a room', response: responses({ 200: RoomGrantResponse }) },
    },
    async request => {
      const filter = { room: roomOf(request.params), memberId: readOwnOrManaged(request, request.params.uid) }
      const [row] = await listRoomGrants(deps.db, request.params.pid, filter, { limit: 1, offset: 0 })
      if (!row) throw notFound()
      return toRoomGrantResponse(row)
    },
  )
  app.delete<{ Params: GrantParams }>(
    `${RoomGrantsPath}/:room/:uid`,
    { config, schema: { summary: 'Take a room from somebody', response: responses({ 204: NoContent }) } },
    async (request, reply) => {
      const { pid, uid } = request.params
      await deps.changes.make(actorOf(request), change => removeRoomMember(change, pid, roomOf(request.params), uid))
      return reply.code(204).send()
    },
  )
}

/** Whose grants are asked for: one's own, or, for those who manage rooms, anybody's. @throws AppError 403 */
function readOwnOrManaged(request: FastifyRequest, uid: string): string {
  const { principal, permissions } = callerOf(request)
  const memberId = uid === 'me' ? principal.id : uid
  if (memberId !== principal.id && !permissions.has('rooms:write'))
    throw errorOf(errors.forbidden, { message: 'Only who manages rooms may ask about others.' })
  return memberId
}
