import { type Dialect, Type } from '@sluice/contracts'
import { ContinuationToken, errorOf, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { checkBaseUrl } from '../base-url.ts'
import { removeIntegration, setIntegration } from '../change-integration.ts'
import { createOnce } from '../create-once.ts'
import { errors, notFound } from '../errors.ts'
import { findIntegration, listIntegrations } from '../integration-store.ts'
import { lockProject } from '../project-store.ts'
import {
  IntegrationBody,
  IntegrationResponse,
  IntegrationsPath,
  toIntegrationRequest,
  toIntegrationResponse,
} from './integration-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const List = Type.Object({ integrations: Type.Array(IntegrationResponse), continuation_token: ContinuationToken })
type Body = Static<typeof IntegrationBody>
type Params = { pid: string; iid: string }

/** The credentials and addresses of a project at providers: its own and its teams', in use and on standby. */
export function registerIntegrations(app: FastifyInstance, deps: AppDeps): void {
  const config = { access: 'integrations:write' } as const
  const read = (body: Body) => toIntegrationRequest(body, baseUrlOf(deps, body))
  const placeOf = (request: FastifyRequest, projectId: string, dialect: Dialect) => ({
    projectId,
    dialect,
    isOperator: callerOf(request).principal.operator,
  })

  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    IntegrationsPath,
    { config, schema: { summary: 'List integrations', querystring: Query, response: responses({ 200: List }) } },
    async request => {
      const { pid } = request.params
      const page = readPage(`integrations ${pid}`, request.query)
      const rows = await listIntegrations(deps.db, pid, { after: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(`integrations ${pid}`, page, rows, row => row.integrationId)
      return { integrations: items.map(toIntegrationResponse), continuation_token }
    },
  )
  app.post<{ Params: { pid: string }; Body: Body }>(
    IntegrationsPath,
    {
      config: { ...config, idempotent: true },
      schema: {
        summary: 'Create an integration',
        example: { name: 'own OpenAI', provider: 'openai', api_key: 'the-key-of-your-account-there' },
        body: IntegrationBody,
        response: responses({ 200: IntegrationResponse }),
      },
    },
    async request => {
      const { pid } = request.params
      const wanted = read(request.body)
      const place = placeOf(request, pid, request.body.provider)
      return createOnce(deps, request, async change => {
        await lockProject(change.trx, pid)
        return toIntegrationResponse(await setIntegration(change, deps.box, place, undefined, wanted))
      })
    },
  )
  app.get<{ Params: Params }>(
    `${IntegrationsPath}/:iid`,
    { config, schema: { summary: 'Get an integration', response: responses({ 200: IntegrationResponse }) } },
    async request => {
      const found = await findIntegration(deps.db, request.params.pid, request.params.iid)
      if (!found) throw notFound()
      return toIntegrationResponse(found)
    },
  )
  app.put<{ Params: Params; Body: Body }>(
    `${IntegrationsPath}/:iid`,
    {
      config,
      schema: {
        summary: 'Replace an integration',
        body: IntegrationBody,
        response: responses({ 200: IntegrationResponse }),
      },
    },
    async request => {
      const { pid, iid } = request.params
      const wanted = read(request.body)
      const place = placeOf(request, pid, request.body.provider)
      return deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        const before = await findIntegration(change.trx, pid, iid)
        if (!before) throw notFound()
        if (before.dialect !== request.body.provider)
          throw errorOf(errors.invalidRequest, { message: 'provider never changes. Create another integration.' })
        return toIntegrationResponse(await setIntegration(change, deps.box, place, before, wanted))
      })
    },
  )
  app.delete<{ Params: Params }>(
    `${IntegrationsPath}/:iid`,
    { config, schema: { summary: 'Delete an integration', response: responses({ 204: NoContent }) } },
    async (request, reply) => {
      const { pid, iid } = request.params
      await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        await removeIntegration(change, pid, await findIntegration(change.trx, pid, iid))
      })
      return reply.code(204).send()
    },
  )
}

function baseUrlOf(deps: AppDeps, { base_url, provider }: Body): string | null {
  return typeof base_url === 'string'
    ? checkBaseUrl(base_url, provider, { allowPrivate: deps.allowPrivateUpstreams })
    : null
}
