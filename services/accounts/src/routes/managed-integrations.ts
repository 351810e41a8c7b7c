import { Dialect, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { checkBaseUrl } from '../base-url.ts'
import { removeManagedIntegration, setManagedIntegration } from '../change-managed-integration.ts'
import { notFound } from '../errors.ts'
import { findManagedIntegration, listManagedIntegrations } from '../managed-integration-store.ts'
import { accessOf, ProviderAccess, ProviderAccessResponse, toAccessResponse } from './integration-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'
import { TestResult } from './test-integration.ts'

const Path = '/accounts/managed-integrations'
const OnePath = `${Path}/:dialect(^(?:openai|anthropic)$)`
const Body = Type.Object(ProviderAccess, { additionalProperties: false })
const Response = Type.Object({ ...ProviderAccessResponse, provider: Dialect })
const List = Type.Object({ integrations: Type.Array(Response) })
type Params = { dialect: Dialect }

/** The operator's own access to providers, by which calls of projects go that have no integration. */
export function registerManagedIntegrations(app: FastifyInstance, deps: AppDeps): void {
  const config = { access: 'operate' } as const

  app.get(
    Path,
    { config, schema: { summary: 'List managed integrations', response: responses({ 200: List }) } },
    async () => ({ integrations: (await listManagedIntegrations(deps.db)).map(toAccessResponse) }),
  )
  app.get<{ Params: Params }>(
    OnePath,
    { config, schema: { summary: 'Get a managed integration', response: responses({ 200: Response }) } },
    async request => {
      const found = await findManagedIntegration(deps.db, request.params.dialect)
      if (!found) throw notFound()
      return toAccessResponse(found)
    },
  )
  app.put<{ Params: Params; Body: Static<typeof Body> }>(
    OnePath,
    {
      config,
      schema: {
        summary: 'Set the operator’s own credential and address at a provider',
        body: Body,
        response: responses({ 200: Response }),
      },
    },
    async request => {
      const { dialect } = request.params
      const { base_url } = request.body
      const allowPrivate = deps.allowPrivateUpstreams
      const baseUrl = typeof base_url === 'string' ? checkBaseUrl(base_url, dialect, { allowPrivate }) : null
      const wanted = accessOf(request.body, baseUrl)
      return deps.changes.make(actorOf(request), async change =>
        toAccessResponse(await setManagedIntegration(change, deps.box, dialect, wanted)),
      )
    },
  )
  app.delete<{ Params: Params }>(
    OnePath,
    {
      config,
      schema: { summary: 'Use what the gateways’ environment says again', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      await deps.changes.make(actorOf(request), change => removeManagedIntegration(change, request.params.dialect))
      return reply.code(204).send()
    },
  )
  app.post<{ Params: Params }>(
    `${OnePath}/test`,
    { config, schema: { summary: 'Test a managed integration', response: responses({ 200: TestResult }) } },
    async request => {
      const found = await findManagedIntegration(deps.db, request.params.dialect)
      if (!found) throw notFound()
      return deps.testIntegration({ integration_id: found.integrationId, version: found.version })
    },
  )
}
