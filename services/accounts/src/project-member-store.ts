import type { Bundle, Role } from '@sluice/contracts'
import type { SelectQueryBuilder } from 'kysely'
import type { Db, Tables } from './db/schema.ts'
import { type MemberFilter, matchesText } from './member-filter-store.ts'
import type { ProjectRights } from './project-member.ts'

/** A person in a project. */
export interface ProjectMember {
  member_id: string
  email: string
  first_name: string
  last_name: string
  account_admin: boolean
  disabled_at: Date | null
  role: Role
  roles: Bundle[]
  default_team_id: string | null
  created_at: Date
}

const columns = [
  'members.member_id',
  'members.email',
  'members.first_name',
  'members.last_name',
  'members.account_admin',
  'members.disabled_at',
  'project_members.role',
  'project_members.roles',
  'project_members.default_team_id',
  'project_members.created_at',
] as const

/** A page of members: behind the id of the last one before it, or from a count on, as older clients ask. */
export interface MemberPage {
  after?: string | undefined
  offset?: number | undefined
  limit: number
}

export function listProjectMembers(
  db: Db,
  projectId: string,
  filter: MemberFilter,
  page: MemberPage,
): Promise<ProjectMember[]> {
  return membersOf(db, projectId, filter)
    .select(columns)
    .$if(page.after !== undefined, query => query.where('members.member_id', '>', page.after ?? ''))
    .orderBy('members.member_id')
    .offset(page.offset ?? 0)
    .limit(page.limit)
    .execute()
}

export async function countProjectMembers(db: Db, projectId: string, filter: MemberFilter): Promise<number> {
  const row = await membersOf(db, projectId, filter)
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

export async function countProjectsOfMember(db: Db, memberId: string): Promise<number> {
  const row = await db
    .selectFrom('project_members')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('member_id', '=', memberId)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

export function listMemberIdsOfProject(db: Db, projectId: string): Promise<string[]> {
  return db
    .selectFrom('project_members')
    .select('member_id')
    .where('project_id', '=', projectId)
    .execute()
    .then(rows => rows.map(row => row.member_id))
}

export function findProjectMember(db: Db, projectId: string, memberId: string): Promise<ProjectMember | undefined> {
  return membersOf(db, projectId, { text: undefined })
    .select(columns)
    .where('members.member_id', '=', memberId)
    .executeTakeFirst()
}

export async function insertProjectMember(
  db: Db,
  member: { projectId: string; accountId: string; memberId: string },
  rights: ProjectRights,
): Promise<void> {
  await db
    .insertInto('project_members')
    .values({
      project_id: member.projectId,
      account_id: member.accountId,
      member_id: member.memberId,
      role: rights.role,
      roles: rights.bundles,
      default_team_id: null,
    })
    .execute()
}

export async function updateProjectMember(
  db: Db,
  projectId: string,
  memberId: string,
  rights: ProjectRights,
): Promise<void> {
  await db
    .updateTable('project_members')
    .set({ role: rights.role, roles: rights.bundles })
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .execute()
}

export async function deleteProjectMember(db: Db, projectId: string, memberId: string): Promise<void> {
  await db.deleteFrom('project_members').where('project_id', '=', projectId).where('member_id', '=', memberId).execute()
}

type Joined = 'members' | 'project_members'

function membersOf(
  db: Db,
  projectId: string,
  filter: MemberFilter,
): SelectQueryBuilder<Tables, Joined, Record<never, never>> {
  return db
    .selectFrom('project_members')
    .innerJoin('members', 'members.member_id', 'project_members.member_id')
    .where('project_members.project_id', '=', projectId)
    .$if(filter.text !== undefined, query => query.where(matchesText(filter.text ?? '')))
}
