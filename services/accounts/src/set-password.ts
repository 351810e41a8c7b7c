import { errorOf } from '@sluice/runtime'
import { withdraw } from './announcement.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { updatePasswordHash } from './member-store.ts'
import { findPasswordProblem, hashPassword, type PasswordCost } from './password.ts'
import { deletePasswordLinks } from './password-link-store.ts'
import { deleteSessionsOfMember } from './session-store.ts'

/** Hashes a new password. @throws AppError 400 where it is none to be had */
export async function hashNewPassword(password: string, cost: PasswordCost): Promise<string> {
  const problem = findPasswordProblem(password)
  if (problem) throw errorOf(errors.invalidRequest, { message: `The new password ${problem}.` })
  return hashPassword(password, cost)
}

/** Sets a member's password and ends what others could come in by: their sessions, but for the one that asks, and links. */
export async function setPassword(
  change: Change,
  memberId: string,
  passwordHash: string,
  keptSession?: string,
): Promise<void> {
  await updatePasswordHash(change.trx, memberId, passwordHash)
  await deletePasswordLinks(change.trx, memberId)
  const ended = await deleteSessionsOfMember(change.trx, memberId, keptSession)
  await change.announce(ended.map(tokenHash => withdraw('sessions', tokenHash)))
  await change.audit({ action: 'member.password-changed', target: memberId })
}
