import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findProjectIntegration } from '../integration-store.ts'
import {
  type IntegrationParams,
  IntegrationSettingsPath,
  IntegrationSettingsResponse,
  toIntegrationSettings,
} from './integration-schemas.ts'
import { responses } from './route-schemas.ts'

/** A project's own credential and address at a provider; 404 where it has none and the managed ones are used. */
export function registerGetIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: IntegrationParams }>(
    IntegrationSettingsPath,
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Get the project’s own credential, masked, and address at a provider',
        response: responses({ 200: IntegrationSettingsResponse }),
      },
    },
    async request => {
      const integration = await findProjectIntegration(deps.db, request.params.pid, request.params.dialect)
      if (!integration) throw notFound()
      return toIntegrationSettings(integration)
    },
  )
}
