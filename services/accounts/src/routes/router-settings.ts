import type { FastifyInstance } from 'fastify'
import { actorOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { announceProjectChange, findProject, lockProject, updateAllowedModels } from '../project-store.ts'
import { RouterSettings, RouterSettingsBody, toAllowedModels, toRouterSettings } from '../router-settings.ts'
import { responses } from './route-schemas.ts'

/** Reads and replaces the models a project allows. */
export function registerRouterSettings(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/settings/router',
    {
      config: { access: 'models:write' },
      schema: { summary: 'Get the models that a project allows', response: responses({ 200: RouterSettings }) },
    },
    async request => {
      const project = await findProject(deps.db, request.params.pid)
      if (!project) throw notFound()
      return toRouterSettings(project.allowed_models)
    },
  )
  app.put<{ Params: { pid: string }; Body: RouterSettingsBody }>(
    '/accounts/projects/:pid/settings/router',
    {
      config: { access: 'models:write' },
      schema: {
        summary: 'Replace the models that a project allows',
        body: RouterSettingsBody,
        response: responses({ 200: RouterSettings }),
      },
    },
    async request => {
      const { pid } = request.params
      const allowedModels = toAllowedModels(request.body)
      await deps.changes.make(actorOf(request), async change => {
        const before = await lockProject(change.trx, pid)
        await updateAllowedModels(change.trx, pid, allowedModels)
        await announceProjectChange(change, pid)
        await change.audit({
          action: 'allowed-models.changed',
          target: pid,
          projectId: pid,
          before: before.allowed_models,
          after: allowedModels,
        })
      })
      return toRouterSettings(allowedModels)
    },
  )
}
