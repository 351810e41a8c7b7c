import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** Accounts answers here: names and addresses of people are there alone. */
export const memberMailboxSubject = 'accounts.member-mailbox.v1'

export const MemberMailboxRequestSchema = Type.Object({ project_id: Uuid, member_id: Id })
/** Asks where mail of a project reaches a member. By request and reply on {@link memberMailboxSubject}. */
export const MemberMailboxRequest = defineDocument('member mailbox request', MemberMailboxRequestSchema)
export type MemberMailboxRequest = Static<typeof MemberMailboxRequestSchema>

export const MemberMailboxSchema = Type.Object({
  /** Null: they are not in the project, or not any more. */
  address: Type.Union([Type.String(), Type.Null()]),
})
export const MemberMailbox = defineDocument('member mailbox', MemberMailboxSchema)
export type MemberMailbox = Static<typeof MemberMailboxSchema>
