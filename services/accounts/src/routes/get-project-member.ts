import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findProjectMember } from '../project-member-store.ts'
import { ProjectMemberResponse, toProjectMemberResponse } from './project-member-response.ts'
import { responses } from './route-schemas.ts'

/** One person of a project. */
export function registerGetProjectMember(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string; uid: string } }>(
    '/accounts/projects/:pid/users/:uid',
    {
      config: { access: 'members:write' },
      schema: { summary: 'Get one person of a project', response: responses({ 200: ProjectMemberResponse }) },
    },
    async request => {
      const { pid, uid } = request.params
      const member = await findProjectMember(deps.db, pid, uid)
      if (!member) throw notFound()
      return toProjectMemberResponse(member)
    },
  )
}
