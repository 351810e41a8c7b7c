import { cookieSchemeOf, errorOf, sessionCookie } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { endSession } from '../end-session.ts'
import { errors } from '../errors.ts'
import { NoContent, responses } from './route-schemas.ts'

/** Ends the session that sent the request: `POST /accounts/sign-out`, and for browsers `DELETE /accounts/session`. */
export function registerSignOut(app: FastifyInstance, deps: AppDeps): void {
  const scheme = cookieSchemeOf(deps.publicUrl)
  for (const [method, url, summary] of [
    ['POST', '/accounts/sign-out', 'Sign out'],
    ['DELETE', '/accounts/session', 'Sign out of the cookie'],
  ] as const)
    app.route({
      method,
      url,
      config: { access: 'signed-in' },
      schema: { summary, response: responses({ 204: NoContent }) },
      handler: async (request, reply) => {
        const { sessionHash } = callerOf(request)
        if (!sessionHash)
          throw errorOf(errors.invalidRequest, {
            message: 'A key has no session. Revoke it with DELETE …/api-keys/{id}.',
          })
        await endSession(deps.changes, actorOf(request), sessionHash)
        if (request.headers.cookie !== undefined) reply.header('set-cookie', sessionCookie(scheme, '', 0))
        return reply.code(204).send()
      },
    })
}
