import { sql } from 'kysely'
import { newId } from './api-key.ts'
import type { Db } from './db/schema.ts'

/** Somebody in a team, from one time to another; null: until further notice. */
export interface TeamMember {
  team_member_id: string
  member_id: string
  role: TeamRole
  valid_from: Date
  valid_to: Date | null
}
export type TeamRole = 'owner' | 'member'

const columns = ['team_member_id', 'member_id', 'role', 'valid_from', 'valid_to'] as const

/** Who is or was in a team, behind a row's id: at a time, or ever. */
export function listTeamMembers(
  db: Db,
  teamId: string,
  options: { at: Date | undefined; after: string | undefined; limit: number },
): Promise<TeamMember[]> {
  const { at, after } = options
  return db
    .selectFrom('team_members')
    .select(columns)
    .where('team_id', '=', teamId)
    .$if(at !== undefined, query =>
      query
        .where('valid_from', '<=', at ?? new Date(0))
        .where(({ eb, or }) => or([eb('valid_to', 'is', null), eb('valid_to', '>', at ?? new Date(0))])),
    )
    .$if(after !== undefined, query => query.where('team_member_id', '>', after ?? ''))
    .orderBy('team_member_id')
    .limit(options.limit)
    .execute()
}

export function findTeamMember(db: Db, teamId: string, memberId: string): Promise<TeamMember | undefined> {
  return db
    .selectFrom('team_members')
    .select(columns)
    .where('team_id', '=', teamId)
    .where('member_id', '=', memberId)
    .where('valid_to', 'is', null)
    .executeTakeFirst()
}

export function findTeamOwner(db: Db, teamId: string): Promise<TeamMember | undefined> {
  return db
    .selectFrom('team_members')
    .select(columns)
    .where('team_id', '=', teamId)
    .where('role', '=', 'owner')
    .where('valid_to', 'is', null)
    .executeTakeFirst()
}

export async function insertTeamMember(
  db: Db,
  member: { projectId: string; teamId: string; memberId: string; role: TeamRole; from: Date },
): Promise<void> {
  await db
    .insertInto('team_members')
    .values({
      team_member_id: newId('tm'),
      project_id: member.projectId,
      team_id: member.teamId,
      member_id: member.memberId,
      role: member.role,
      valid_from: member.from,
      valid_to: null,
    })
    .execute()
}

/** Ends memberships that are open: of one member, of one team, or of both. @returns whose */
export async function endTeamMembers(
  db: Db,
  which: { projectId: string; teamId?: string; memberId?: string },
  at: Date,
): Promise<string[]> {
  const rows = await db
    .updateTable('team_members')
    .set({ valid_to: at })
    .where('project_id', '=', which.projectId)
    .where('valid_to', 'is', null)
    .$if(which.teamId !== undefined, query => query.where('team_id', '=', which.teamId ?? ''))
    .$if(which.memberId !== undefined, query => query.where('member_id', '=', which.memberId ?? ''))
    .returning('member_id')
    .execute()
  return [...new Set(rows.map(row => row.member_id))].sort()
}

/** The teams of a project that somebody is in now. */
export async function listTeamsOfMember(db: Db, projectId: string, memberId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('team_members')
    .select('team_id')
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .where('valid_to', 'is', null)
    .orderBy('team_id')
    .execute()
  return rows.map(row => row.team_id)
}

/** The projects in which members own a team now. */
export function listProjectsWhereOwners(
  db: Db,
  memberIds: readonly string[],
): Promise<{ member_id: string; project_id: string }[]> {
  return db
    .selectFrom('team_members')
    .select(['member_id', 'project_id'])
    .distinct()
    .where(sql<boolean>`member_id = any(${memberIds}::text[])`)
    .where('role', '=', 'owner')
    .where('valid_to', 'is', null)
    .execute()
}

/** The team that pays for somebody's calls in a project where none is named. */
export async function findDefaultTeam(db: Db, projectId: string, memberId: string): Promise<string | null> {
  const row = await db
    .selectFrom('project_members')
    .select('default_team_id')
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .executeTakeFirst()
  return row?.default_team_id ?? null
}

export async function setDefaultTeam(
  db: Db,
  projectId: string,
  memberId: string,
  teamId: string | null,
): Promise<void> {
  await db
    .updateTable('project_members')
    .set({ default_team_id: teamId })
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .execute()
}

/** Forgets a team as the default of everybody, or of one member. */
export async function forgetDefaultTeam(db: Db, projectId: string, teamId: string, memberId?: string): Promise<void> {
  await db
    .updateTable('project_members')
    .set({ default_team_id: null })
    .where('project_id', '=', projectId)
    .where('default_team_id', '=', teamId)
    .$if(memberId !== undefined, query => query.where('member_id', '=', memberId ?? ''))
    .execute()
}
