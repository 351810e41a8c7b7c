import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { Member } from '../member-store.ts'
import { Profile, toProfile } from './profile-response.ts'

/** What somebody is in their account, beside their roles in projects. */
export const AccountRights = {
  /** Admin of every project of the account. */
  account_admin: Type.Boolean(),
  /** Runs the installation. */
  operator: Type.Boolean(),
  /** Cannot sign in, and their keys make no calls. */
  disabled: Type.Boolean(),
}

export const AccountMemberResponse = Type.Object({
  ...Profile.properties,
  ...AccountRights,
  created_at: Type.String(),
})

export function toAccountMemberResponse(member: Member): Static<typeof AccountMemberResponse> {
  return {
    ...toProfile(member),
    account_admin: member.account_admin,
    operator: member.operator,
    disabled: member.disabled_at !== null,
    created_at: member.created_at.toISOString(),
  }
}
