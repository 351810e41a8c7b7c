import { type BudgetScope, lineOfText, Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, principalOf, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import type { StopRecord } from '../stop-store.ts'
import { actorOf, makingOf } from './budget-place.ts'
import { scopeMembers } from './scope-members.ts'

const path = '/accounts/projects/:pid/stops'

/** Who may be stopped: what is signed, and the software that calls claim to be. */
const { team, member, key, service_account, room, participant, app: claimedApp } = scopeMembers
/** A member that is none is refused: without it, the stop would be of everybody. */
const StopScope = Type.Object(
  { team, member, key, service_account, room, participant, app: claimedApp },
  { additionalProperties: false },
)

const Body = Type.Object(
  {
    /** Nothing: the whole project. */
    scope: Type.Optional(StopScope),
    reason: Type.String({ minLength: 1, maxLength: 300, pattern: lineOfText }),
  },
  { additionalProperties: false },
)

const StopAnswer = Type.Object({
  id: Type.String(),
  scope: Type.Record(Type.String(), Type.String()),
  reason: Type.String(),
  stopped_at: Type.String(),
  stopped_by: Type.String(),
  stopped_from: Type.Union([Type.String(), Type.Null()]),
  lifted_at: Type.Union([Type.String(), Type.Null()]),
  lifted_by: Type.Union([Type.String(), Type.Null()]),
  lifted_from: Type.Union([Type.String(), Type.Null()]),
})

const Query = Type.Object(
  { ...PageQuery, lifted: Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')])) },
  { additionalProperties: false },
)
const List = Type.Object({ stops: Type.Array(StopAnswer), continuation_token: ContinuationToken })

/** An admin's stop: running calls in its scope are ended, and others refused, until it is lifted. */
export function stopRoutes(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    path,
    {
      config: { access: 'budgets:write', idempotent: true },
      schema: {
        summary: 'Stop calls: end those that run, refuse the next, until it is lifted',
        example: { scope: { team: 'team_01', app: 'codex' }, reason: 'Loops since noon' },
        body: Body,
        response: responses({ 201: StopAnswer }),
      },
    },
    async (request, reply) => {
      const { pid } = request.params
      const { scope = {}, reason } = request.body
      const { accountId } = principalOf(request)
      const draft = {
        stopId: deps.newStopId(),
        accountId: deps.views.accountOfProject(pid) ?? accountId,
        projectId: pid,
        scope: { ...scope, project: pid } satisfies BudgetScope,
        reason,
        by: actorOf(request),
        atMs: deps.now(),
      }
      return reply.code(201).send(toAnswer(await deps.stops.create(draft, makingOf(request))))
    },
  )

  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access: 'usage:read' },
      schema: {
        summary: 'List stops that stand; with lifted=true those that were lifted, too',
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const { pid } = request.params
      const page = readPage(`stops ${pid}`, request.query)
      const standing = request.query.lifted !== 'true'
      const found = await deps.stops.list(pid, { after: page.after, limit: page.limit + 1, standing })
      const { items, continuation_token } = toPage(`stops ${pid}`, page, found, ({ stop }) => stop.stop_id)
      return { continuation_token, stops: items.map(toAnswer) }
    },
  )

  app.delete<{ Params: { pid: string; id: string } }>(
    `${path}/:id`,
    {
      config: { access: 'budgets:write' },
      schema: { summary: 'Lift a stop: calls go on', response: responses({ 204: Type.Null() }) },
    },
    async (request, reply) => {
      const { pid, id } = request.params
      await deps.stops.lift(pid, id, actorOf(request), deps.now())
      return reply.code(204).send()
    },
  )
}

function toAnswer({ stop, by, lifted }: StopRecord): Static<typeof StopAnswer> {
  const { project: _, ...scope } = stop.scope
  return {
    id: stop.stop_id,
    scope: scope as Record<string, string>,
    reason: stop.reason,
    stopped_at: new Date(stop.at_ms).toISOString(),
    stopped_by: `${by.kind} ${by.id}`,
    stopped_from: by.from?.address ?? null,
    lifted_at: lifted ? new Date(lifted.atMs).toISOString() : null,
    lifted_by: lifted ? `${lifted.by.kind} ${lifted.by.id}` : null,
    lifted_from: lifted?.by.from?.address ?? null,
  }
}
