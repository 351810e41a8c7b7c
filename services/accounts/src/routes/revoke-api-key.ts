import { checkOf, Uuid } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { actorOf } from '../access.ts'
import { announceKeyRevoked } from '../announcement.ts'
import { announceKeyChange, markRevoked } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { lockProject } from '../project-store.ts'
import { NoContent, responses } from './route-schemas.ts'

const uuid = checkOf(Uuid)

/** Revokes a key, and with it every participant token signed with it. */
export function registerRevokeApiKey(app: FastifyInstance, deps: AppDeps): void {
  app.delete<{ Params: { pid: string; id: string } }>(
    '/accounts/projects/:pid/api-keys/:id',
    { config: { access: 'keys:write' }, schema: { summary: 'Revoke a key', response: responses({ 204: NoContent }) } },
    async (request, reply) => {
      const { pid, id } = request.params
      if (!uuid.matches(id)) throw notFound()
      await deps.changes.make(actorOf(request), async change => {
        const project = await lockProject(change.trx, pid)
        if (!(await markRevoked(change.trx, pid, id, new Date(change.nowMs)))) throw notFound()
        await announceKeyChange(change, id)
        await change.announce([
          announceKeyRevoked({ key_id: id, project_id: pid, account_id: project.account_id, at_ms: change.nowMs }),
        ])
        await change.audit({ action: 'api-key.revoked', target: id, projectId: pid })
      })
      return reply.code(204).send()
    },
  )
}
