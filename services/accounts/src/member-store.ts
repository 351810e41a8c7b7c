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

/** Whether somebody has a role in a project: one of their own, or as an administrator of its account. */
export async function isMemberOfProject(db: Db, projectId: string, memberId: string): Promise<boolean> {
  const row = await db
    .selectFrom('members')
    .innerJoin('projects', 'projects.account_id', 'members.account_id')
    .leftJoin('project_members', join =>
      join
        .onRef('project_members.project_id', '=', 'projects.project_id')
        .onRef('project_members.member_id', '=', 'members.member_id'),
    )
    .select('members.member_id')
    .where('projects.project_id', '=', projectId)
    .where('members.member_id', '=', memberId)
    .where(({ eb, or }) => or([eb('members.account_admin', '=', true), eb('project_members.role', 'is not', null)]))
    .executeTakeFirst()
  return row !== undefined
}
