import type { FastifyInstance } from 'fastify'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findProject } from '../project-store.ts'
import { ProjectResponse, toProjectResponse } from './project-response.ts'
import { responses } from './route-schemas.ts'

/** One project. */
export function registerGetProject(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid',
    {
      config: { access: 'project' },
      schema: { summary: 'Get one project', response: responses({ 200: ProjectResponse }) },
    },
    async request => {
      const project = await findProject(deps.db, request.params.pid)
      if (!project) throw notFound()
      return toProjectResponse(project, { withSettings: callerOf(request).permissions.has('integrations:write') })
    },
  )
}
