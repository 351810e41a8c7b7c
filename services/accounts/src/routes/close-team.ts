import type { FastifyInstance } from 'fastify'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { closeTeam } from '../change-team.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Closes a team for good. */
export function registerCloseTeam(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: { pid: string; tid: string } }>(
    '/accounts/projects/:pid/teams/:tid',
    {
      config: { access: 'teams:write' },
      schema: { summary: 'Close a team for good', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, tid } = request.params
      await deps.changes.make(actorOf(request), change => closeTeam(change, pid, tid))
      return reply.code(204).send()
    },
  )
}
