import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, sizeForOlderClients, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { listProjects } from '../project-store.ts'
import { ProjectResponse, toProjectResponse } from './project-response.ts'
import { isUuid, responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({ projects: Type.Array(ProjectResponse), continuation_token: ContinuationToken })

/** Lists the projects the caller has a role in. */
export function registerListProjects(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/accounts/projects',
    {
      config: { access: 'signed-in' },
      schema: { summary: 'List projects', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { accountId, accountAdmin, roles, permissions } = callerOf(request).principal
      const page = readPage('projects', request.query, sizeForOlderClients, isUuid)
      const rows = await listProjects(deps.db, accountId, {
        projectIds: accountAdmin ? undefined : [...roles.keys()],
        after: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage('projects', page, rows, row => row.project_id)
      return {
        continuation_token,
        projects: items.map(project =>
          toProjectResponse(project, {
            withSettings: accountAdmin || permissions.get(project.project_id)?.has('integrations:write') === true,
          }),
        ),
      }
    },
  )
}
