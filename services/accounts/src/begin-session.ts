import { randomBytes } from 'node:crypto'
import { lineOfText, Type } from '@sluice/contracts'
import { errorOf, hashCredential } from '@sluice/runtime'
import type { Static } from 'typebox'
import { announceSession } from './announcement.ts'
import type { AppDeps } from './app.ts'
import type { Origin } from './change-store.ts'
import { errors } from './errors.ts'
import { signInTried } from './events.ts'
import { findMemberByEmail, type Member } from './member-store.ts'
import { verifyPassword } from './password.ts'
import { findSession, insertSession } from './session-store.ts'

/** What a person signs in with. */
export const Credentials = Type.Object({
  email: Type.String({ minLength: 3, maxLength: 254, pattern: lineOfText }),
  password: Type.String({ minLength: 1, maxLength: 256 }),
})
export type Credentials = Static<typeof Credentials>

/** How long a session lasts. */
export const sessionSeconds = 12 * 60 * 60

/** Finds the member whose e-mail and password these are. @param device see `sign-in-device.ts` @throws AppError 401, 429 */
export async function proveMember(
  deps: AppDeps,
  { email, password }: Credentials,
  ip: string,
  device?: string,
): Promise<Member> {
  if (!deps.throttle.allow(email, ip, device)) {
    signInTried(deps.log, 'throttled', ip)
    throw errorOf(errors.throttled)
  }
  const member = await findMemberByEmail(deps.db, email)
  if (!(await verifyPassword(password, member?.password_hash, deps.passwordCost)) || !member || member.disabled_at) {
    signInTried(deps.log, 'refused', ip)
    throw errorOf(errors.wrongPassword)
  }
  signInTried(deps.log, 'succeeded', ip)
  deps.throttle.forget(email, ip, device)
  return member
}

/** Begins a session of a member. @returns its token, of which only the hash is kept */
export async function beginSession(deps: AppDeps, member: Member, prefix: string, from: Origin): Promise<string> {
  const token = `${prefix}${randomBytes(32).toString('base64url')}`
  const tokenHash = hashCredential(token)
  const actor = { kind: 'member', id: member.member_id, accountId: member.account_id, from } as const
  await deps.changes.make(actor, async change => {
    const expiresAt = new Date(change.nowMs + sessionSeconds * 1000)
    await insertSession(change.trx, { tokenHash, memberId: member.member_id, expiresAt })
    const document = await findSession(change.trx, tokenHash)
    if (!document) throw new Error('the session was not inserted')
    await change.announce([announceSession(tokenHash, document)])
    await change.audit({ action: 'session.created', target: member.member_id })
  })
  return token
}
