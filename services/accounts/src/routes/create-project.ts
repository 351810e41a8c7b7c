import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { createOnce } from '../create-once.ts'
import { createProject } from '../create-project.ts'
import { checkSettings, SettingsObject } from '../project-settings.ts'
import { ProjectResponse, toProjectResponse } from './project-response.ts'
import { DisplayName, responses } from './route-schemas.ts'

const Body = Type.Object(
  {
    name: DisplayName,
    settings: Type.Optional(Type.Union([Type.Null(), SettingsObject])),
  },
  { additionalProperties: false },
)

/** Makes a project in the caller's account. */
export function registerCreateProject(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Body: Static<typeof Body> }>(
    '/accounts/projects',
    {
      config: { access: 'account-admin', idempotent: true },
      schema: {
        summary: 'Create a project',
        example: { name: 'Research' },
        body: Body,
        response: responses({ 200: ProjectResponse }),
      },
    },
    async request => {
      const { principal } = callerOf(request)
      const settings = checkSettings(request.body.settings ?? {})
      return createOnce(deps, request, async change => {
        const project = await createProject(change, {
          accountId: principal.accountId,
          name: request.body.name,
          ownerId: principal.id,
          settings,
        })
        return toProjectResponse(project, { withSettings: true })
      })
    },
  )
}
