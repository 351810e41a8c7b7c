import type { Role } from '@sluice/contracts'
import type { Db } from './db/schema.ts'

export interface Member {
  member_id: string
  account_id: string
  email: string
  first_name: string
  last_name: string
  account_admin: boolean
}

const columns = ['member_id', 'account_id', 'email', 'first_name', 'last_name', 'account_admin'] as const

export function findMember(db: Db, accountId: string, memberId: string): Promise<Member | undefined> {
  return db
    .selectFrom('members')
    .select(columns)
    .where('account_id', '=', accountId)
    .where('member_id', '=', memberId)
    .executeTakeFirst()
}

/** For signing in alone: it reaches over all accounts and brings the password's hash. */
export function findMemberByEmail(
  db: Db,
  email: string,
): Promise<(Member & { password_hash: string | null }) | undefined> {
  return db
    .selectFrom('members')
    .select([...columns, 'password_hash'])
    .where(({ eb, fn }) => eb(fn<string>('lower', ['email']), '=', email.toLowerCase()))
    .executeTakeFirst()
}

export async function insertMember(
  db: Db,
  member: { memberId: string; accountId: string; email: string; passwordHash: string | null; accountAdmin: boolean },
): Promise<void> {
  await db
    .insertInto('members')
    .values({
      member_id: member.memberId,
      account_id: member.accountId,
      email: member.email,
      password_hash: member.passwordHash,
      account_admin: member.accountAdmin,
    })
    .execute()
}

export async function updatePasswordHash(db: Db, memberId: string, passwordHash: string): Promise<void> {
  await db.updateTable('members').set({ password_hash: passwordHash }).where('member_id', '=', memberId).execute()
}

/** Gives a member a role in a project of the same account (the schema refuses another's). */
export async function putProjectMember(
  db: Db,
  entry: { projectId: string; accountId: string; memberId: string; role: Role },
): Promise<void> {
  await db
    .insertInto('project_members')
    .values({
      project_id: entry.projectId,
      account_id: entry.accountId,
      member_id: entry.memberId,
      role: entry.role,
    })
    .onConflict(conflict => conflict.columns(['project_id', 'member_id']).doUpdateSet({ role: entry.role }))
    .execute()
}
