import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { deleteProject } from '../delete-project.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Deletes a project of the caller's account. */
export function registerDeleteProject(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: { pid: string } }>(
    '/accounts/projects/:pid',
    {
      config: { access: 'account-admin' },
      schema: { summary: 'Delete a project: its calls end, its usage stays', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { accountId } = callerOf(request).principal
      await deps.changes.make(actorOf(request), change => deleteProject(change, accountId, request.params.pid))
      return reply.code(204).send()
    },
  )
}
