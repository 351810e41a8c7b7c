import { Type } from '@sluice/contracts'
import { principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { toAttemptResponse } from '../call-response.ts'
import { readCursor, readSpan, writeCursor } from '../query-parameters.ts'
import { readableUsage } from '../usage-reader.ts'
import { fromClickhouseTime } from '../usage-row.ts'
import type { UsageFilter } from '../usage-row-store.ts'

const Params = Type.Object({ pid: Type.String({ format: 'uuid' }) })
const name = Type.Optional(Type.String({ minLength: 1, maxLength: 256 }))
const Query = Type.Object(
  {
    start: name,
    end: name,
    model: name,
    provider: name,
    status: Type.Optional(Type.Enum(['completed', 'failed', 'aborted', 'cut', 'killed'])),
    key: name,
    team: name,
    member: name,
    room: name,
    client: name,
    doubt: name,
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  },
  { additionalProperties: false },
)

const List = Type.Object({
  events: Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true })),
  next_cursor: Type.Union([Type.String(), Type.Null()]),
})

/** `GET /accounts/projects/{pid}/usage/events`: one row an attempt, newest first. */
export function listUsageEvents(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Static<typeof Params>; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/usage/events',
    {
      config: { access: 'usage:read-own' },
      schema: {
        summary: 'List attempts, newest first',
        params: Params,
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const projectId = request.params.pid
      const { limit, cursor } = request.query
      const filter = readableUsage(deps, principalOf(request), toFilter(projectId, request.query))
      const after = cursor === undefined ? undefined : readCursor(cursor)
      const rows = await deps.rows.listUsage(filter, after, limit + 1)
      const page = rows.slice(0, limit)
      const last = rows.length > limit ? page.at(-1) : undefined
      return {
        events: page.map(toAttemptResponse),
        next_cursor: last
          ? writeCursor({ admittedAtMs: fromClickhouseTime(last.admitted_at), eventId: last.event_id })
          : null,
      }
    },
  )
}

function toFilter(projectId: string, query: Static<typeof Query>): UsageFilter {
  return {
    projectId,
    ...readSpan(query),
    ...(query.model === undefined ? {} : { model: query.model }),
    ...(query.provider === undefined ? {} : { provider: query.provider }),
    ...(query.status === undefined ? {} : { status: query.status }),
    ...(query.key === undefined ? {} : { keyId: query.key }),
    ...(query.team === undefined ? {} : { teamId: query.team }),
    ...(query.member === undefined ? {} : { memberIds: [query.member] }),
    ...(query.room === undefined ? {} : { room: query.room }),
    ...(query.client === undefined ? {} : { app: query.client }),
    ...(query.doubt === undefined ? {} : { doubt: query.doubt }),
  }
}
