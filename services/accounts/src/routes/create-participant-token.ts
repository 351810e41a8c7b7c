import { Id, lineOfText, RoomName, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { mintToken } from '../mint-token.ts'
import { ParticipantRole, scopeInRoom, unlimited } from '../room-grant.ts'
import { findRoomMember } from '../room-store.ts'
import { type RoomParams, RoomsPath, roomOf } from './room-schemas.ts'
import { NoBody, responses } from './route-schemas.ts'

const maxS = 7 * 24 * 60 * 60
const AnyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })

const Body = Type.Object(
  {
    /** The participant's. */
    name: Type.String({ minLength: 1, maxLength: 256, pattern: lineOfText }),
    /** As they stand in a token; in their place the three below. */
    grants: Type.Optional(Type.Array(AnyObject, { maxItems: 64 })),
    room_name: Type.Optional(RoomName),
    role: Type.Optional(ParticipantRole),
    /** What of the API it opens: `{llm: {models?}}`. */
    api: Type.Optional(AnyObject),
    /** Whose calls it makes: an id, an address, or null for nobody's. Not sent: the caller's. */
    user_id: Type.Optional(Type.Union([Type.Null(), Id])),
    email: Type.Optional(Type.String({ minLength: 3, maxLength: 254, pattern: lineOfText })),
    /** Not sent: twelve hours. */
    expires_in_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: maxS })),
  },
  { additionalProperties: false },
)
const Token = Type.Object({ token: Type.String() })
const Connection = Type.Object({
  jwt: Type.String(),
  room_name: Type.String(),
  project_id: Type.String(),
  room_url: Type.String(),
})

/** Mints participant tokens: as asked, and for entering a room. */
export function registerCreateParticipantToken(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/participant-tokens',
    {
      config: { access: 'project' },
      schema: {
        summary: 'Mint a participant token',
        example: {
          name: 'laptop',
          room_name: 'lab',
          api: { llm: { models: ['openai/*'] } },
          expires_in_seconds: 3_600,
        },
        description:
          'Takes no Idempotency-Key: nothing is stored, and of two tokens with the same grants both hold until they end.',
        body: Body,
        response: responses({ 200: Token }),
      },
    },
    async request => {
      const { name, user_id: userId, email, expires_in_seconds: expiresInS } = request.body
      if (userId !== undefined && email !== undefined)
        throw errorOf(errors.invalidRequest, { message: 'Name a member by user_id or by email, not by both.' })
      const member =
        email !== undefined ? { email } : userId === undefined ? undefined : userId === null ? null : { userId }
      const grants = toGrants(request.body)
      const token = await mintToken(deps, request, { projectId: request.params.pid, name, grants, member, expiresInS })
      return { token }
    },
  )
  app.post<{ Params: RoomParams; Body: Static<typeof NoBody> }>(
    `${RoomsPath}/:room/connect`,
    {
      config: { access: 'rooms:connect' },
      schema: { summary: 'Enter a room', body: NoBody, response: responses({ 200: Connection }) },
    },
    async request => {
      const { pid: projectId } = request.params
      const room = roomOf(request.params)
      const { principal, key, permissions } = callerOf(request)
      const member = key ? key.member_id : principal.id
      const granted = member === undefined ? undefined : await findRoomMember(deps.db, projectId, room, member)
      const grants = [
        ...roleGrant(granted?.role),
        { name: 'api', scope: scopeInRoom(granted?.permissions ?? unlimited, permissions.has('llm:invoke')) },
        { name: 'room', scope: room },
      ]
      // Events and logs have the pseudonym; a key's name is nobody's.
      const name = key?.name ?? principal.id
      const jwt = await mintToken(deps, request, { projectId, name, grants, member: undefined, expiresInS: undefined })
      return { jwt, room_name: room, project_id: projectId, room_url: `${deps.publicUrl}/rooms/${room}` }
    },
  )
}

/** @throws AppError 400 where a body says its grants in both ways */
function toGrants({ grants, room_name, role, api }: Static<typeof Body>): readonly unknown[] {
  if (grants) {
    if (room_name !== undefined || role !== undefined || api !== undefined)
      throw errorOf(errors.invalidRequest, { message: 'Send grants, or room_name, role and api, not both.' })
    return grants
  }
  return [
    ...roleGrant(role),
    ...(api === undefined ? [] : [{ name: 'api', scope: api }]),
    ...(room_name === undefined ? [] : [{ name: 'room', scope: room_name }]),
  ]
}

/** As clients write it: who has none is a user. */
function roleGrant(role: ParticipantRole | undefined) {
  return role === undefined || role === 'user' ? [] : [{ name: 'role', scope: role }]
}
