import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { Member } from '../member-store.ts'

export const Profile = Type.Object({
  id: Type.String(),
  email: Type.String(),
  first_name: Type.String(),
  last_name: Type.String(),
})

export function toProfile(member: Member): Static<typeof Profile> {
  const { member_id: id, email, first_name, last_name } = member
  return { id, email, first_name, last_name }
}
