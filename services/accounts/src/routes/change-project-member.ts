import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeProjectMember, rightsOf } from '../change-project-member.ts'
import { errors } from '../errors.ts'
import { readRights, requireMayGrant } from '../project-member.ts'
import { RightsBody, requireSameProject } from './project-member-body.ts'
import { Done, responses } from './route-schemas.ts'

/** Replaces what somebody may do in a project. */
export function registerChangeProjectMember(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Params: { pid: string; uid: string }; Body: Static<typeof RightsBody> }>(
    '/accounts/projects/:pid/users/:uid',
    {
      config: { access: 'members:write' },
      schema: {
        summary: 'Replace what somebody may do in a project',
        body: RightsBody,
        response: responses({ 200: Done }),
      },
    },
    async request => {
      const { pid, uid } = request.params
      requireSameProject(request.body, pid)
      if (request.body.user_id !== undefined && request.body.user_id !== uid)
        throw errorOf(errors.invalidRequest, { message: 'user_id is not the user of the path.' })
      await deps.changes.make(actorOf(request), change =>
        changeProjectMember(change, pid, uid, before => {
          const rights = readRights(request.body, before.roles)
          requireMayGrant(callerOf(request), rightsOf(before), rights)
          return rights
        }),
      )
      return { ok: true as const }
    },
  )
}
