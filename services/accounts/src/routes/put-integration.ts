import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { checkBaseUrl } from '../base-url.ts'
import { setIntegration } from '../change-integration.ts'
import type { IntegrationRequest } from '../integration.ts'
import { findProjectIntegration } from '../integration-store.ts'
import { lockProject } from '../project-store.ts'
import {
  ApiKey,
  BaseUrl,
  type IntegrationParams,
  IntegrationSettingsPath,
  IntegrationSettingsResponse,
  toIntegrationSettings,
} from './integration-schemas.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object(
  { api_key: Type.Optional(ApiKey), base_url: Type.Optional(BaseUrl) },
  { additionalProperties: false },
)

const nothingMore = {
  name: 'default',
  teamId: null,
  standby: false,
  credentialFrom: null,
  organization: null,
  providerProject: null,
} as const

/** Sets a project's own credential and address at a provider: those of the integration that all calls go by. */
export function registerPutIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: IntegrationParams; Body: Static<typeof Body> }>(
    IntegrationSettingsPath,
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Set the project’s own credential and address at a provider',
        body: Body,
        response: responses({ 200: IntegrationSettingsResponse }),
      },
    },
    async request => {
      const { pid: projectId, dialect } = request.params
      const { api_key: apiKey, base_url } = request.body
      const baseUrl =
        typeof base_url === 'string'
          ? checkBaseUrl(base_url, dialect, { allowPrivate: deps.allowPrivateUpstreams })
          : null
      const isOperator = callerOf(request).principal.operator
      const integration = await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, projectId)
        const before = await findProjectIntegration(change.trx, projectId, dialect)
        const headers = Object.fromEntries((before?.headerNames ?? []).map(name => [name, '****']))
        const wanted: IntegrationRequest = { ...(before ?? nothingMore), apiKey, baseUrl, headers }
        return setIntegration(change, deps.box, { projectId, dialect, isOperator }, before, wanted)
      })
      return toIntegrationSettings(integration)
    },
  )
}
