import { Type } from '@sluice/contracts'
import { ContinuationToken, errorOf, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { putTeamMember, removeTeamMember } from '../change-team-member.ts'
import { errors, notFound } from '../errors.ts'
import { listTeamMembers } from '../team-member-store.ts'
import { findTeam } from '../team-store.ts'
import { readInstant } from './read-instant.ts'
import { Done, NoContent, responses } from './route-schemas.ts'
import { TeamMemberResponse, toTeamMemberResponse } from './team-response.ts'

const Query = Type.Object(
  {
    ...PageQuery,
    /** RFC 3339: who was in it then; not sent: who is. */
    at: Type.Optional(Type.String({ format: 'date-time' })),
    /** Everybody who ever was in it. */
    history: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
const Response = Type.Object({ members: Type.Array(TeamMemberResponse), continuation_token: ContinuationToken })
/** RFC 3339; not sent, or null: from now, until further notice. */
const Instant = Type.Optional(Type.Union([Type.Null(), Type.String({ format: 'date-time' })]))
const Body = Type.Object(
  { role: Type.Optional(Type.Enum(['owner', 'member'])), valid_from: Instant, valid_to: Instant },
  { additionalProperties: false },
)

const path = '/accounts/projects/:pid/teams/:tid/members'
interface Params {
  pid: string
  tid: string
}

/** Who is in a team, was in it, comes and goes. */
export function registerTeamMembers(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Params; Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access: 'teams:write' },
      schema: { summary: 'List who is or was in a team', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid, tid } = request.params
      const { at, history } = request.query
      if (at !== undefined && history)
        throw errorOf(errors.invalidRequest, { message: 'Send at or history, not both.' })
      if (!(await findTeam(deps.db, pid, tid, new Date(deps.now())))) throw notFound()
      const page = readPage(`members ${tid}`, request.query)
      const rows = await listTeamMembers(deps.db, tid, {
        at: history ? undefined : at === undefined ? new Date(deps.now()) : readInstant('at', at),
        after: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage(`members ${tid}`, page, rows, row => row.team_member_id)
      return { members: items.map(toTeamMemberResponse), continuation_token }
    },
  )
  app.put<{ Params: Params & { uid: string }; Body: Static<typeof Body> }>(
    `${path}/:uid`,
    {
      config: { access: 'teams:write' },
      schema: { summary: 'Take somebody into a team', body: Body, response: responses({ 200: Done }) },
    },
    async request => {
      const { pid: projectId, tid: teamId, uid } = request.params
      const { role = 'member', valid_from, valid_to } = request.body
      const times = { from: toDate('valid_from', valid_from), to: toDate('valid_to', valid_to) }
      await deps.changes.make(actorOf(request), change =>
        putTeamMember(change, { projectId, teamId }, uid, role, times),
      )
      return { ok: true as const }
    },
  )
  app.delete<{ Params: Params & { uid: string } }>(
    `${path}/:uid`,
    {
      config: { access: 'teams:write' },
      schema: { summary: 'Take somebody out of a team', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid: projectId, tid: teamId, uid } = request.params
      await deps.changes.make(actorOf(request), change => removeTeamMember(change, { projectId, teamId }, uid))
      return reply.code(204).send()
    },
  )
}

const toDate = (field: string, text: string | null | undefined) =>
  typeof text === 'string' ? readInstant(field, text) : null
