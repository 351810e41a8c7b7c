import { Type } from '@sluice/contracts'
import {
  cookieSchemeOf,
  cookieSessionOf,
  cookieTokenPrefix,
  csrfTokenOf,
  errorOf,
  hashCredential,
  requireSameOrigin,
  sessionCookie,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { callerOf, originOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { beginSession, Credentials, proveMember, sessionSeconds } from '../begin-session.ts'
import type { Origin } from '../change-store.ts'
import { endSession } from '../end-session.ts'
import { errors } from '../errors.ts'
import { findSession } from '../session-store.ts'
import { responses } from './route-schemas.ts'

const BrowserSession = Type.Object({
  member_id: Type.String(),
  /** To be sent as `x-csrf-token` with everything but `GET`. */
  csrf_token: Type.String(),
  expires_at: Type.String({ format: 'date-time' }),
})

/** A session in a browser: its token stands in a cookie that no script reads, and is in no answer. */
export function registerBrowserSession(app: FastifyInstance, deps: AppDeps): void {
  const scheme = cookieSchemeOf(deps.publicUrl)

  app.post<{ Body: Credentials }>(
    '/accounts/session',
    {
      config: { access: 'public' },
      schema: { summary: 'Sign in with a cookie', body: Credentials, response: responses({ 200: BrowserSession }) },
    },
    async (request, reply) => {
      // Else another site could sign a visitor in as somebody else, and read what they then type.
      requireSameOrigin(request.headers)
      const { email } = request.body
      const device = deps.devices.find(request.headers, email)
      const member = await proveMember(deps, request.body, request.ip, device)
      await endReplaced(deps, cookieSessionOf(request.headers), originOf(request))
      const token = await beginSession(deps, member, cookieTokenPrefix(scheme), originOf(request))
      reply.header('set-cookie', [
        sessionCookie(scheme, token, sessionSeconds),
        deps.devices.note(scheme, email, device),
      ])
      return {
        member_id: member.member_id,
        csrf_token: csrfTokenOf(token),
        expires_at: new Date(deps.now() + sessionSeconds * 1000).toISOString(),
      }
    },
  )

  app.get(
    '/accounts/session',
    {
      config: { access: 'signed-in' },
      schema: { summary: 'Get the session of the cookie', response: responses({ 200: BrowserSession }) },
    },
    async request => {
      const { sessionHash, principal } = callerOf(request)
      const token = cookieSessionOf(request.headers)
      const session = sessionHash && (await findSession(deps.db, sessionHash))
      if (!session || token === undefined || hashCredential(token) !== sessionHash)
        throw errorOf(errors.invalidRequest, { message: 'Only a session in a cookie has a CSRF token.' })
      return {
        member_id: principal.id,
        csrf_token: csrfTokenOf(token),
        expires_at: new Date(session.expires_at_ms).toISOString(),
      }
    },
  )
}

/** Whoever signs in anew leaves no session behind in the same browser. */
async function endReplaced(deps: AppDeps, token: string | undefined, from: Origin): Promise<void> {
  const tokenHash = token && hashCredential(token)
  const session = tokenHash && (await findSession(deps.db, tokenHash))
  if (!session) return
  const { member_id: id, account_id: accountId } = session
  await endSession(deps.changes, { kind: 'member', id, accountId, from }, tokenHash)
}
