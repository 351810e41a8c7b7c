import { randomBytes } from 'node:crypto'
import { lineOfText, Type } from '@sluice/contracts'
import { errorOf, hashCredential } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { announceSession } from '../announcement.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { signInTried } from '../events.ts'
import { findMemberByEmail } from '../member-store.ts'
import { verifyPassword } from '../password.ts'
import { findSession, insertSession } from '../session-store.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object({
  email: Type.String({ minLength: 3, maxLength: 254, pattern: lineOfText }),
  password: Type.String({ minLength: 1, maxLength: 256 }),
})
const Response = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer(),
  member_id: Type.String(),
})

const sessionSeconds = 12 * 60 * 60

/** Signs a member in with a password. */
export function registerSignIn(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Body: Static<typeof Body> }>(
    '/accounts/sign-in',
    { config: { access: 'public' }, schema: { body: Body, response: responses({ 200: Response }) } },
    async request => {
      const { email, password } = request.body
      if (!deps.throttle.allow(email, request.ip)) {
        signInTried(deps.log, 'throttled', request.ip)
        throw errorOf(errors.throttled)
      }
      const member = await findMemberByEmail(deps.db, email)
      if (!(await verifyPassword(password, member?.password_hash)) || !member || member.disabled_at) {
        signInTried(deps.log, 'refused', request.ip)
        throw errorOf(errors.wrongPassword)
      }
      signInTried(deps.log, 'succeeded', request.ip)
      deps.throttle.forget(email, request.ip)

      const token = `st_${randomBytes(32).toString('base64url')}`
      const tokenHash = hashCredential(token)
      const actor = { kind: 'member', id: member.member_id, accountId: member.account_id } as const
      await deps.changes.make(actor, async change => {
        const expiresAt = new Date(change.nowMs + sessionSeconds * 1000)
        await insertSession(change.trx, { tokenHash, memberId: member.member_id, expiresAt })
        const document = await findSession(change.trx, tokenHash)
        if (!document) throw new Error('the session was not inserted')
        await change.announce([announceSession(tokenHash, document)])
        await change.audit({ action: 'session.created', target: member.member_id })
      })
      return { access_token: token, token_type: 'Bearer', expires_in: sessionSeconds, member_id: member.member_id }
    },
  )
}
