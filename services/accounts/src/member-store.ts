import { sql } from 'kysely'
import type { Db } from './db/schema.ts'
import { notFound } from './errors.ts'

export interface Member {
  member_id: string
  account_id: string
  email: string
  first_name: string
  last_name: string
  account_admin: boolean
  operator: boolean
  disabled_at: Date | null
  created_at: Date
}

const columns = [
  'member_id',
  'account_id',
  'email',
  'first_name',
  'last_name',
  'account_admin',
  'operator',
  'disabled_at',
  'created_at',
] as const

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
    .where('email_lower', '=', email.toLowerCase())
    .executeTakeFirst()
}

export function findMemberOfAccountByEmail(db: Db, accountId: string, email: string): Promise<Member | undefined> {
  return db
    .selectFrom('members')
    .select(columns)
    .where('account_id', '=', accountId)
    .where('email_lower', '=', email.toLowerCase())
    .executeTakeFirst()
}

export interface NewMember {
  memberId: string
  accountId: string
  email: string
  /** null: cannot sign in until one is set. */
  passwordHash: string | null
  accountAdmin: boolean
  operator?: boolean
  firstName?: string
  lastName?: string
}

export async function insertMember(db: Db, member: NewMember): Promise<void> {
  if (!(await insertNewMember(db, member))) throw new Error('somebody has this e-mail address already')
}

/** False where somebody has the e-mail address already, in whatever account. */
export async function insertNewMember(db: Db, member: NewMember): Promise<boolean> {
  const row = await db
    .insertInto('members')
    .values({
      member_id: member.memberId,
      account_id: member.accountId,
      email: member.email,
      password_hash: member.passwordHash,
      account_admin: member.accountAdmin,
      operator: member.operator ?? false,
      first_name: member.firstName ?? '',
      last_name: member.lastName ?? '',
      disabled_at: null,
    })
    .onConflict(conflict => conflict.expression(sql`lower(email)`).doNothing())
    .returning('member_id')
    .executeTakeFirst()
  return row !== undefined
}

/**
 * Locks a member of an account for the rest of the transaction. Whoever changes what they may do does this first, after the
 * project's lock where there is one: a session that is begun meanwhile waits, and then reads what is in force.
 * @throws AppError 404
 */
export async function lockMember(db: Db, accountId: string, memberId: string): Promise<Member> {
  const row = await db
    .selectFrom('members')
    .select(columns)
    .where('account_id', '=', accountId)
    .where('member_id', '=', memberId)
    .forUpdate()
    .executeTakeFirst()
  if (!row) throw notFound()
  return row
}

/** The same for several, in one order, so that two changes at once do not wait for each other in a ring. @throws AppError 404 */
export async function lockMembers(db: Db, accountId: string, memberIds: readonly string[]): Promise<void> {
  const rows = await db
    .selectFrom('members')
    .select('member_id')
    .where('account_id', '=', accountId)
    .where(sql<boolean>`member_id = any(${memberIds}::text[])`)
    .orderBy('member_id')
    .forUpdate()
    .execute()
  if (rows.length < new Set(memberIds).size) throw notFound()
}

/** The people of an account, behind an id. */
export function listMembers(db: Db, accountId: string, after: string | undefined, limit: number): Promise<Member[]> {
  return db
    .selectFrom('members')
    .select(columns)
    .where('account_id', '=', accountId)
    .$if(after !== undefined, query => query.where('member_id', '>', after ?? ''))
    .orderBy('member_id')
    .limit(limit)
    .execute()
}

/** How many others administer an account and can come in. */
export async function countOtherAdmins(db: Db, accountId: string, memberId: string): Promise<number> {
  const row = await db
    .selectFrom('members')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('account_id', '=', accountId)
    .where('member_id', '<>', memberId)
    .where('account_admin', '=', true)
    .where('disabled_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

export async function updateAccountRights(
  db: Db,
  memberId: string,
  rights: { accountAdmin: boolean; operator: boolean; disabledAt: Date | null },
): Promise<void> {
  await db
    .updateTable('members')
    .set({ account_admin: rights.accountAdmin, operator: rights.operator, disabled_at: rights.disabledAt })
    .where('member_id', '=', memberId)
    .execute()
}

export async function updateProfile(
  db: Db,
  memberId: string,
  profile: { firstName: string; lastName: string },
): Promise<void> {
  await db
    .updateTable('members')
    .set({ first_name: profile.firstName, last_name: profile.lastName })
    .where('member_id', '=', memberId)
    .execute()
}

export async function updatePasswordHash(db: Db, memberId: string, passwordHash: string): Promise<void> {
  await db.updateTable('members').set({ password_hash: passwordHash }).where('member_id', '=', memberId).execute()
}

/** Whether somebody has a role in a project: one of their own, or as an administrator of its account. */
export async function isMemberOfProject(db: Db, projectId: string, memberId: string): Promise<boolean> {
  return (await findMailbox(db, projectId, memberId)) !== undefined
}

/** The e-mail address of a member of a project; undefined: they are none, or shut out. */
export async function findMailbox(db: Db, projectId: string, memberId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('members')
    .innerJoin('projects', 'projects.account_id', 'members.account_id')
    .leftJoin('project_members', join =>
      join
        .onRef('project_members.project_id', '=', 'projects.project_id')
        .onRef('project_members.member_id', '=', 'members.member_id'),
    )
    .select('members.email')
    .where('projects.project_id', '=', projectId)
    .where('projects.deleted_at', 'is', null)
    .where('members.member_id', '=', memberId)
    .where('members.disabled_at', 'is', null)
    .where(({ eb, or }) => or([eb('members.account_admin', '=', true), eb('project_members.role', 'is not', null)]))
    .executeTakeFirst()
  return row?.email
}
