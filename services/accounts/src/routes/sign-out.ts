import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf } from '../access.ts'
import { withdraw } from '../announcement.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { deleteSession } from '../session-store.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Ends the session that sent the request. */
export function registerSignOut(app: FastifyInstance, deps: AppDeps): void {
  app.post(
    '/accounts/sign-out',
    { config: { access: 'signed-in' }, schema: { response: responses({ 204: NoContent }) } },
    async (request, reply) => {
      const { sessionHash, principal } = callerOf(request)
      if (!sessionHash)
        throw errorOf(errors.invalidRequest, {
          message: 'A key has no session. Revoke it with DELETE …/api-keys/{id}.',
        })
      await deps.changes.make(actorOf(request), async change => {
        if (!(await deleteSession(change.trx, sessionHash))) return
        await change.announce([withdraw('sessions', sessionHash)])
        await change.audit({ action: 'session.ended', target: principal.id })
      })
      return reply.code(204).send()
    },
  )
}
