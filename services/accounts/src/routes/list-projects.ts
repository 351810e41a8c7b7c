import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { listProjectsByIds, listProjectsOfAccount } from '../project-store.ts'
import { ProjectResponse, toProjectResponse } from './project-response.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({ projects: Type.Array(ProjectResponse) })

/** Lists the projects the caller has a role in. */
export function registerListProjects(app: FastifyInstance, deps: AppDeps): void {
  app.get(
    '/accounts/projects',
    { config: { access: 'signed-in' }, schema: { response: responses({ 200: Response }) } },
    async request => {
      const { accountId, accountAdmin, roles, permissions } = callerOf(request).principal
      const projects = accountAdmin
        ? await listProjectsOfAccount(deps.db, accountId)
        : await listProjectsByIds(deps.db, accountId, [...roles.keys()])
      return {
        projects: projects.map(project =>
          toProjectResponse(project, {
            withSettings: accountAdmin || permissions.get(project.project_id)?.has('integrations:write') === true,
          }),
        ),
      }
    },
  )
}
