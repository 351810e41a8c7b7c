import { Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { readAnnotations, readSpan } from '../query-parameters.ts'
import { ownUsage } from '../usage-reader.ts'
import { toUsageReport } from '../usage-report.ts'
import { intervals } from '../usage-sum-store.ts'
import { mostGroups, Report } from './get-usage.ts'

const Params = Type.Object({ pid: Type.String({ format: 'uuid' }) })
const text = Type.Optional(Type.String({ minLength: 1, maxLength: 256 }))
const Query = Type.Object(
  {
    start: text,
    end: text,
    interval: Type.Optional(Type.Enum([...intervals])),
    /** JSON object: tags a call must carry. */
    annotations: Type.Optional(Type.String({ maxLength: 8192 })),
  },
  { additionalProperties: false },
)

/** `GET /accounts/projects/{pid}/llm-proxy/usage`: the caller's own usage, for whoever may call models. */
export function getOwnUsage(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Static<typeof Params>; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/llm-proxy/usage',
    {
      config: { access: 'llm:invoke' },
      schema: {
        summary: 'Report one’s own usage',
        params: Params,
        querystring: Query,
        response: responses({ 200: Report }),
      },
    },
    async (request, reply) => {
      const { pid: projectId } = request.params
      const { interval, annotations } = request.query
      const asked = {
        projectId,
        ...readSpan(request.query),
        ...(annotations === undefined ? {} : { tags: readAnnotations(annotations) }),
      }
      const sums = await deps.sums.sumByModel(ownUsage(principalOf(request), asked), interval, mostGroups + 1)
      if (sums.length > mostGroups) throw errorOf(errors.rangeTooWide)
      return reply
        .type('application/json; charset=utf-8')
        .send(JSON.stringify({ usage: toUsageReport(projectId, sums, undefined) }))
    },
  )
}
