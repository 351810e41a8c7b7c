import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, principalOf, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { toAttemptResponse } from '../call-response.ts'
import { readSpan } from '../query-parameters.ts'
import { readableUsage } from '../usage-reader.ts'
import { fromClickhouseTime } from '../usage-row.ts'
import type { UsageFilter, UsagePosition } from '../usage-row-store.ts'

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
    ...PageQuery,
  },
  { additionalProperties: false },
)

const List = Type.Object({
  events: Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true })),
  continuation_token: ContinuationToken,
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
      const filter = readableUsage(deps, principalOf(request), toFilter(projectId, request.query))
      const list = `usage-events ${projectId}`
      const page = readPage(list, request.query, 100, text => readPosition(text) !== undefined)
      const rows = await deps.rows.listUsage(filter, readPosition(page.after), page.limit + 1)
      const { items, continuation_token } = toPage(
        list,
        page,
        rows,
        row => `${fromClickhouseTime(row.admitted_at)}.${row.event_id}`,
      )
      return { events: items.map(toAttemptResponse), continuation_token }
    },
  )
}

function readPosition(text: string | undefined): UsagePosition | undefined {
  const match = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(text ?? '')
  return match?.[1] && match[2] ? { admittedAtMs: Number(match[1]), eventId: match[2] } : undefined
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
