import { errorOf } from '@sluice/runtime'
import { lockAccount } from './account-store.ts'
import { announceMemberRights } from './announce-member.ts'
import { withdraw } from './announcement.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { countOtherAdmins, lockMember, type Member, updateAccountRights } from './member-store.ts'
import { deletePasswordLinks } from './password-link-store.ts'
import { lockProjectsOfAccount } from './project-store.ts'
import { deleteSessionsOfMember } from './session-store.ts'

/** What somebody is in their account. */
export interface AccountRights {
  accountAdmin: boolean
  operator: boolean
  disabled: boolean
}

/**
 * Changes what somebody is in their account; who is disabled is signed out, and their keys make no calls. Links
 * by which a password could be set are void where somebody rises or is disabled.
 * @throws AppError 404; 403 where an operator is made or changed by somebody who is none; 409 where the account would be left
 * without an administrator
 */
export async function changeAccountMember(
  change: Change,
  by: { accountId: string; isOperator: boolean },
  memberId: string,
  rights: AccountRights,
): Promise<Member> {
  await lockAccount(change.trx, by.accountId)
  await lockProjectsOfAccount(change.trx, by.accountId)
  const before = await lockMember(change.trx, by.accountId, memberId)
  if ((before.operator || rights.operator) && !by.isOperator)
    throw errorOf(errors.grantsTooMuch, { message: 'Only an operator makes or changes an operator.' })
  const staysAdmin = rights.accountAdmin && !rights.disabled
  if (!staysAdmin && (await countOtherAdmins(change.trx, by.accountId, memberId)) === 0) throw errorOf(errors.lastAdmin)
  const disabledAt = rights.disabled ? (before.disabled_at ?? new Date(change.nowMs)) : null
  await updateAccountRights(change.trx, memberId, { ...rights, disabledAt })
  const rises = (rights.operator && !before.operator) || (rights.accountAdmin && !before.account_admin)
  // Who made a link for somebody with less is not to come in as somebody with more.
  if (rises || rights.disabled) await deletePasswordLinks(change.trx, memberId)
  if (rights.disabled) {
    const ended = await deleteSessionsOfMember(change.trx, memberId)
    await change.announce(ended.map(tokenHash => withdraw('sessions', tokenHash)))
  }
  await announceMemberRights(change, [memberId])
  await change.audit({
    action: 'member.rights-changed',
    target: memberId,
    before: {
      account_admin: before.account_admin,
      operator: before.operator,
      disabled: before.disabled_at !== null,
    },
    after: { account_admin: rights.accountAdmin, operator: rights.operator, disabled: rights.disabled },
  })
  return { ...before, account_admin: rights.accountAdmin, operator: rights.operator, disabled_at: disabledAt }
}
