import { randomUUID } from 'node:crypto'
import { AttemptStatus, Id, lineOfText, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { readPublicUrl } from '../base-url.ts'
import { errors, notFound } from '../errors.ts'
import { applyOtel, auditedOtel, maskedValue, type OtelSettings, openHeaders } from '../otel-settings.ts'
import { deleteOtelSettings, findOtelSettings, putOtelSettings } from '../otel-settings-store.ts'
import { lockProject } from '../project-store.ts'
import { ModelPattern, NoBody, NoContent, responses } from './route-schemas.ts'

/** What hops or the request itself set. */
const reservedHeaders =
  'accept-encoding|connection|content-encoding|content-length|content-type|cookie|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade|via'
const HeaderName = Type.String({
  pattern: `^(?!(?:${reservedHeaders})$)(?!(?:proxy|sec|x-forwarded)-)[a-z0-9!#$%&'*+.^_\`|~-]{1,64}$`,
})
const HeaderValue = Type.String({ pattern: '^[\\x21-\\x7e](?:[\\x20-\\x7e]{0,4094}[\\x21-\\x7e])?$' })

/** Of which calls spans are sent: each list that is named must match. */
const Filter = Type.Object(
  {
    models: Type.Optional(Type.Array(ModelPattern, { maxItems: 100 })),
    teams: Type.Optional(Type.Array(Id, { maxItems: 100 })),
    apps: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 64, pattern: lineOfText }), { maxItems: 100 }),
    ),
    statuses: Type.Optional(Type.Array(AttemptStatus, { maxItems: 5 })),
  },
  { additionalProperties: false },
)

const Body = Type.Object(
  {
    /** An OTLP endpoint; `/v1/traces` is added where its path does not end so. */
    endpoint: Type.String({ minLength: 1, maxLength: 2048 }),
    /** By name in small letters; a value sent as it is shown stays. */
    headers: Type.Optional(Type.Record(HeaderName, HeaderValue, { maxProperties: 16, additionalProperties: false })),
    /** In place of the header `authorization`. */
    bearer: Type.Optional(Type.Union([Type.Null(), Type.String({ pattern: '^[\\x21-\\x7e]{1,4000}$' })])),
    /** Of the project's calls; not sent: all. */
    sample_ratio: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    /** Not sent: all calls. A text is no filter here: which language it would be is written nowhere. */
    filter: Type.Optional(Type.Union([Type.Null(), Filter, Type.String()])),
  },
  { additionalProperties: false },
)
const Response = Type.Object({
  endpoint: Type.String(),
  headers: Type.Record(Type.String(), Type.String()),
  sample_ratio: Type.Number(),
  filter: Type.Union([Type.Null(), Filter]),
  updated_at: Type.String(),
})
const TestResponse = Type.Object({
  ok: Type.Boolean(),
  message: Type.String(),
  http_status: Type.Optional(Type.Integer()),
  duration_ms: Type.Integer(),
})
const path = '/accounts/projects/:pid/settings/otel'

/** Where a project has spans of its calls sent. */
export function registerOtelSettings(app: FastifyInstance, deps: AppDeps): void {
  const config = { access: 'integrations:write' } as const
  app.get<{ Params: { pid: string } }>(
    path,
    { config, schema: { summary: 'Get where spans are sent', response: responses({ 200: Response }) } },
    async request => {
      const settings = await findOtelSettings(deps.db, request.params.pid)
      if (!settings) throw notFound()
      return toResponse(settings)
    },
  )
  app.put<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    path,
    { config, schema: { summary: 'Have spans sent', body: Body, response: responses({ 200: Response }) } },
    async request => {
      const { pid } = request.params
      const wanted = readRequest(deps, request.body)
      return deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        const before = await findOtelSettings(change.trx, pid)
        const after = applyOtel(deps.box, pid, before, wanted, new Date(change.nowMs))
        await putOtelSettings(change.trx, pid, after)
        await change.audit({
          action: 'otel-settings.changed',
          target: pid,
          projectId: pid,
          before: auditedOtel(before),
          after: auditedOtel(after),
        })
        return toResponse(after)
      })
    },
  )
  app.delete<{ Params: { pid: string } }>(
    path,
    { config, schema: { summary: 'Have no spans sent', response: responses({ 204: NoContent }) } },
    async (request, reply) => {
      const { pid } = request.params
      await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        const before = await findOtelSettings(change.trx, pid)
        if (!before) throw notFound()
        await deleteOtelSettings(change.trx, pid)
        const action = 'otel-settings.deleted'
        await change.audit({ action, target: pid, projectId: pid, before: auditedOtel(before) })
      })
      return reply.code(204).send()
    },
  )
  app.post<{ Params: { pid: string }; Body: Static<typeof NoBody> }>(
    `${path}/test`,
    { config, schema: { summary: 'Send a span as a test', body: NoBody, response: responses({ 200: TestResponse }) } },
    async request => {
      const { pid } = request.params
      const settings = await findOtelSettings(deps.db, pid)
      if (!settings) throw notFound()
      const nowMs = deps.now()
      const [traceId, spanId] = [randomUUID().replaceAll('-', ''), randomUUID().replaceAll('-', '').slice(16)]
      const began = performance.now()
      const { ok, message, httpStatus } = await deps.sendSpans(
        { endpoint: settings.endpoint, headers: openHeaders(deps.box, pid, settings) },
        [
          {
            call: { context: { traceId, spanId, sampled: true }, parentSpanId: undefined },
            finished: {
              name: 'sluice test',
              kind: 'client',
              startedAtMs: nowMs,
              finishedAtMs: nowMs,
              attributes: { 'sluice.project.id': pid },
            },
          },
        ],
      )
      const duration_ms = Math.round(performance.now() - began)
      return { ok, message, ...(httpStatus === undefined ? {} : { http_status: httpStatus }), duration_ms }
    },
  )
}

/** @throws AppError 400 */
function readRequest(
  deps: AppDeps,
  { endpoint, headers = {}, bearer, sample_ratio: sampleRatio = 1, filter = null }: Static<typeof Body>,
) {
  if (typeof bearer === 'string' && headers.authorization !== undefined)
    throw errorOf(errors.invalidRequest, { message: 'Send bearer or the header authorization, not both.' })
  if (typeof filter === 'string')
    throw errorOf(errors.invalidRequest, {
      message:
        'filter is an object of lists, each of which must match: {"models": ["openai/*"], "teams": […], "apps": […], "statuses": ["failed"]}. Expressions are not understood.',
    })
  const url = readPublicUrl(endpoint, 'endpoint', 'bearer or a header', { allowPrivate: deps.allowPrivateUpstreams })
  const base = url.pathname.replace(/\/+$/, '')
  return {
    endpoint: url.origin + (base.endsWith('/v1/traces') ? base : `${base}/v1/traces`),
    headers: typeof bearer === 'string' ? { ...headers, authorization: `Bearer ${bearer}` } : headers,
    sampleRatio,
    filter,
  }
}

function toResponse({ endpoint, headerNames, sampleRatio, filter, updatedAt }: OtelSettings): Static<typeof Response> {
  return {
    endpoint,
    headers: Object.fromEntries(headerNames.map(name => [name, maskedValue])),
    sample_ratio: sampleRatio,
    filter,
    updated_at: updatedAt.toISOString(),
  }
}
