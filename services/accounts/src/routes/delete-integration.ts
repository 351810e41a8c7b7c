import type { FastifyInstance } from 'fastify'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { auditedIntegration } from '../integration.ts'
import { deleteIntegration, findIntegration } from '../integration-store.ts'
import { announceProjectChange, lockProject } from '../project-store.ts'
import { type IntegrationParams, IntegrationPath } from './integration-response.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Takes a project's own credential at a provider away: the managed one is used again. */
export function registerDeleteIntegration(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: IntegrationParams }>(
    IntegrationPath,
    {
      config: { access: 'integrations:write' },
      schema: { summary: 'Go back to the managed credential of a provider', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, dialect } = request.params
      await deps.changes.make(actorOf(request), async change => {
        await lockProject(change.trx, pid)
        const before = await findIntegration(change.trx, pid, dialect)
        if (!before) throw notFound()
        await deleteIntegration(change.trx, pid, dialect)
        await announceProjectChange(change, pid)
        await change.audit({
          action: 'integration.deleted',
          target: before.integrationId,
          projectId: pid,
          before: auditedIntegration(dialect, before),
        })
      })
      return reply.code(204).send()
    },
  )
}
