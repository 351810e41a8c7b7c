import { randomBytes } from 'node:crypto'
import { Type } from '@sluice/contracts'
import { errorOf, hashCredential } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { actorOf, callerOf, originOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { createOnce } from '../create-once.ts'
import { errors, notFound } from '../errors.ts'
import { findMember, findMemberByEmail, lockMember } from '../member-store.ts'
import { verifyPassword } from '../password.ts'
import { findPasswordLink, replacePasswordLink, takePasswordLink } from '../password-link-store.ts'
import { hashNewPassword, setPassword } from '../set-password.ts'
import { NoContent, responses } from './route-schemas.ts'

const Password = Type.String({ minLength: 1, maxLength: 256 })
const Change = Type.Object({ current_password: Password, new_password: Password }, { additionalProperties: false })
const ByLink = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 128 }), new_password: Password },
  { additionalProperties: false },
)
const Link = Type.Object({ token: Type.String(), expires_at: Type.String({ format: 'date-time' }) })

const linkSeconds = 72 * 60 * 60

/**
 * Passwords of members: changed by whoever knows the old one; set by whoever holds a link, which an administrator of the
 * account makes and hands over (nothing here sends mail). Links hold once, for three days.
 */
export function registerPasswords(app: FastifyInstance, deps: AppDeps): void {
  app.put<{ Body: { current_password: string; new_password: string } }>(
    '/accounts/profiles/me/password',
    {
      config: { access: 'signed-in' },
      schema: { summary: 'Change one’s own password', body: Change, response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { principal, sessionHash } = callerOf(request)
      if (principal.kind !== 'member') throw notFound()
      const { current_password, new_password } = request.body
      const member = await findMember(deps.db, principal.accountId, principal.id)
      if (!member) throw notFound()
      if (!deps.throttle.allow(member.email, request.ip)) throw errorOf(errors.throttled)
      const known = await findMemberByEmail(deps.db, member.email)
      if (!(await verifyPassword(current_password, known?.password_hash, deps.passwordCost)))
        throw errorOf(errors.wrongPassword, { message: 'The current password is wrong.' })
      deps.throttle.forget(member.email, request.ip)
      const passwordHash = await hashNewPassword(new_password, deps.passwordCost)
      await deps.changes.make(actorOf(request), change => setPassword(change, principal.id, passwordHash, sessionHash))
      return reply.code(204).send()
    },
  )

  app.post<{ Params: { mid: string } }>(
    '/accounts/members/:mid/password-link',
    {
      config: { access: 'account-admin', idempotent: true },
      schema: { summary: 'Make a link by which somebody sets a password', response: responses({ 200: Link }) },
    },
    async request => {
      const { accountId } = callerOf(request).principal
      const token = `pl_${randomBytes(32).toString('base64url')}`
      const expiresAt = new Date(deps.now() + linkSeconds * 1000)
      return createOnce(deps, request, async change => {
        const member = await lockMember(change.trx, accountId, request.params.mid)
        // Who sets a password can sign in with it.
        if (member.operator && !callerOf(request).principal.operator)
          throw errorOf(errors.grantsTooMuch, { message: 'Only an operator makes a link for an operator.' })
        await replacePasswordLink(change.trx, {
          tokenHash: hashCredential(token),
          memberId: member.member_id,
          madeBy: callerOf(request).principal.id,
          expiresAt,
        })
        await change.audit({
          action: 'member.password-link-made',
          target: member.member_id,
          after: { expires_at: expiresAt },
        })
        return { token, expires_at: expiresAt.toISOString() }
      })
    },
  )

  app.post<{ Body: { token: string; new_password: string } }>(
    '/accounts/password',
    {
      config: { access: 'public' },
      schema: { summary: 'Set a password by a link', body: ByLink, response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const tokenHash = hashCredential(request.body.token)
      const whose = await findPasswordLink(deps.db, tokenHash, new Date(deps.now()))
      if (!whose) throw errorOf(errors.passwordLink)
      const passwordHash = await hashNewPassword(request.body.new_password, deps.passwordCost)
      const actor = {
        kind: 'member',
        id: whose.member_id,
        accountId: whose.account_id,
        from: originOf(request),
      } as const
      await deps.changes.make(actor, async change => {
        await lockMember(change.trx, whose.account_id, whose.member_id)
        // Whoever holds it too may have been faster, or somebody's rights have changed.
        if (!(await findPasswordLink(change.trx, tokenHash, new Date(change.nowMs)))) throw errorOf(errors.passwordLink)
        if (!(await takePasswordLink(change.trx, tokenHash, new Date(change.nowMs)))) throw errorOf(errors.passwordLink)
        await setPassword(change, whose.member_id, passwordHash)
      })
      return reply.code(204).send()
    },
  )
}
