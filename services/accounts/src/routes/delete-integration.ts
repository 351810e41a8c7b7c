import type { FastifyInstance } from 'fastify'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { removeIntegration } from '../change-integration.ts'
import { findProjectIntegration } from '../integration-store.ts'
import { lockProject } from '../project-store.ts'
import { type IntegrationParams, IntegrationSettingsPath } from './integration-schemas.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Takes a project's own credential at a provider away: the managed one is used again. */
export function registerDeleteIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: IntegrationParams }>(
    IntegrationSettingsPath,
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Use the managed credential at a provider again',
        response: responses({ 204: NoContent }),
      },
    },
    async (request, reply) => {
      const { pid, dialect } = request.params
      await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        await removeIntegration(change, pid, await findProjectIntegration(change.trx, pid, dialect))
      })
      return reply.code(204).send()
    },
  )
}
