import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { auditedSettings, checkSettings, requireSettings, SettingsObject } from '../project-settings.ts'
import { announceProjectChange, findProject, lockProject, updateProjectSettings } from '../project-store.ts'
import { toSettingsResponse } from './project-response.ts'
import { responses } from './route-schemas.ts'

/** Reads and replaces a project's settings object. */
export function registerProjectSettings(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/settings',
    {
      config: { access: 'integrations:write' },
      schema: { summary: 'Get the settings of a project', response: responses({ 200: SettingsObject }) },
    },
    async request => {
      const project = await findProject(deps.db, request.params.pid)
      if (!project) throw notFound()
      return toSettingsResponse(project)
    },
  )
  app.put<{ Params: { pid: string }; Body: Record<string, unknown> }>(
    '/accounts/projects/:pid/settings',
    {
      config: { access: 'integrations:write' },
      schema: {
        summary: 'Replace the settings of a project',
        body: SettingsObject,
        response: responses({ 200: SettingsObject }),
      },
    },
    async request => {
      const { pid } = request.params
      const settings = checkSettings(request.body)
      return deps.changes.make(actorOf(request), async change => {
        const before = await lockProject(change.trx, pid)
        requireSettings(before.settings, settings, callerOf(request).permissions)
        await updateProjectSettings(change.trx, pid, settings)
        await announceProjectChange(change, pid)
        await change.audit({
          action: 'project-settings.changed',
          target: pid,
          projectId: pid,
          before: auditedSettings(before.settings),
          after: auditedSettings(settings),
        })
        return toSettingsResponse({ ...before, settings })
      })
    },
  )
}
