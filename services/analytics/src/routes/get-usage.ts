import { Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { readAnnotations, readSpan } from '../query-parameters.ts'
import { readableUsage } from '../usage-reader.ts'
import { toUsageReport } from '../usage-report.ts'
import type { UsageFilter } from '../usage-row-store.ts'
import { intervals } from '../usage-sum-store.ts'

const Params = Type.Object({ pid: Type.String({ format: 'uuid' }) })
const name = Type.Optional(Type.String({ minLength: 1, maxLength: 256 }))
const Query = Type.Object(
  {
    start: name,
    end: name,
    interval: Type.Optional(Type.Enum([...intervals])),
    report: Type.Optional(Type.Literal('cost_by_provider')),
    /** Member ids, comma-separated. */
    users: Type.Optional(Type.String({ minLength: 1, maxLength: 8192 })),
    team: name,
    room: name,
    key: name,
    provider: name,
    model: name,
    usage_type: name,
    /** The app that called. */
    client: name,
    /** JSON object: tags a call must carry. */
    annotations: Type.Optional(Type.String({ maxLength: 8192 })),
  },
  { additionalProperties: false },
)

const Row = Type.Object({
  project_id: Type.String(),
  provider: Type.String(),
  model: Type.String(),
  served_by: Type.Optional(
    Type.Literal('simulator', {
      description: 'The simulator answered: nobody was paid for it; absent: a provider did',
    }),
  ),
  type: Type.String(),
  total: Type.Number({ description: 'How much of its type was used' }),
  price: Type.Number({ description: 'US dollars, digit for digit: not to be read into a float' }),
  cost_nano_usd: Type.String(),
  start: Type.Optional(Type.String({ description: 'When its interval begins; absent: none was asked for' })),
})

/** What a report answers. */
export const Report = Type.Object({ usage: Type.Array(Row) })

/** More rows are no report. */
export const mostGroups = 20_000

/** `GET /accounts/projects/{pid}/usage`: totals and prices by provider, model and usage type, what the simulator answered apart. */
export function getUsage(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Static<typeof Params>; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/usage',
    {
      config: { access: 'usage:read-own' },
      schema: {
        summary: 'Report usage by provider, model and type',
        params: Params,
        querystring: Query,
        response: responses({ 200: Report }),
      },
    },
    async (request, reply) => {
      const projectId = request.params.pid
      const { interval, usage_type: usageType } = request.query
      const filter = readableUsage(deps, principalOf(request), toFilter(projectId, request.query))
      const sums = await deps.sums.sumByModel(filter, interval, mostGroups + 1)
      if (sums.length > mostGroups) throw errorOf(errors.rangeTooWide)
      // Written by JSON.stringify, which keeps the digits of raw numbers.
      return reply
        .type('application/json; charset=utf-8')
        .send(JSON.stringify({ usage: toUsageReport(projectId, sums, usageType) }))
    },
  )
}

function toFilter(projectId: string, query: Static<typeof Query>): UsageFilter {
  return {
    projectId,
    ...readSpan(query),
    ...(query.users === undefined ? {} : { memberIds: query.users.split(',').map(user => user.trim()) }),
    ...(query.team === undefined ? {} : { teamId: query.team }),
    ...(query.room === undefined ? {} : { room: query.room }),
    ...(query.key === undefined ? {} : { keyId: query.key }),
    ...(query.provider === undefined ? {} : { provider: query.provider }),
    ...(query.model === undefined ? {} : { model: query.model }),
    ...(query.client === undefined ? {} : { app: query.client }),
    ...(query.annotations === undefined ? {} : { tags: readAnnotations(query.annotations) }),
  }
}
