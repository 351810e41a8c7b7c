import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findIntegration } from '../integration-store.ts'
import {
  type IntegrationParams,
  IntegrationPath,
  IntegrationResponse,
  toIntegrationResponse,
} from './integration-response.ts'
import { responses } from './route-schemas.ts'

/** A project's own credential and address at a provider; 404 where it has none and the managed ones are used. */
export function registerGetIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: IntegrationParams }>(
    IntegrationPath,
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Get a project’s own credential and address at a provider',
        response: responses({ 200: IntegrationResponse }),
      },
    },
    async request => {
      const integration = await findIntegration(deps.db, request.params.pid, request.params.dialect)
      if (!integration) throw notFound()
      return toIntegrationResponse(integration)
    },
  )
}
