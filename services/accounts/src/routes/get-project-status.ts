import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { findProject } from '../project-store.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({ enabled: Type.Boolean() })

/** Whether a project may make calls. */
export function registerGetProjectStatus(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/status',
    {
      config: { access: 'project' },
      schema: { summary: 'Ask whether a project makes calls', response: responses({ 200: Response }) },
    },
    async request => {
      const project = await findProject(deps.db, request.params.pid)
      if (!project) throw notFound()
      return { enabled: !project.disabled }
    },
  )
}
