import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { removeProjectMember, rightsOf } from '../change-project-member.ts'
import { requireMayGrant } from '../project-member.ts'
import { Done, responses } from './route-schemas.ts'

/** Takes somebody out of a project. */
export function registerRemoveProjectMember(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: { pid: string; uid: string } }>(
    '/accounts/projects/:pid/users/:uid',
    {
      config: { access: 'members:write' },
      schema: { summary: 'Take somebody out of a project', response: responses({ 200: Done }) },
    },
    async request => {
      const { pid, uid } = request.params
      await deps.changes.make(actorOf(request), change =>
        removeProjectMember(change, pid, uid, before => requireMayGrant(callerOf(request), rightsOf(before))),
      )
      return { ok: true as const }
    },
  )
}
