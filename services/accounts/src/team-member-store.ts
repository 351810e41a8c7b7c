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
    .where('state', '=', 'in_force')
    .executeTakeFirst()
}

export function findTeamOwner(db: Db, teamId: string): Promise<TeamMember | undefined> {
  return db
    .selectFrom('team_members')
    .select(columns)
    .where('team_id', '=', teamId)
    .where('role', '=', 'owner')
    .where('state', '=', 'in_force')
    .executeTakeFirst()
}

export async function insertTeamMember(
  db: Db,
  member: { projectId: string; teamId: string; memberId: string; role: TeamRole; from: Date; to: Date | null },
  at: Date,
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
      valid_to: member.to,
      state: member.from > at ? 'planned' : 'in_force',
    })
    .execute()
}

/** Says when a membership that is in force or planned ends; null: until further notice. */
export async function setTeamMemberEnd(db: Db, teamMemberId: string, to: Date | null): Promise<void> {
  await db.updateTable('team_members').set({ valid_to: to }).where('team_member_id', '=', teamMemberId).execute()
}

/** Takes back what is planned of somebody in a team behind a time. */
export async function deletePlannedMemberships(
  db: Db,
  team: { teamId: string; memberId: string },
  from: Date,
): Promise<void> {
  await db
    .deleteFrom('team_members')
    .where('team_id', '=', team.teamId)
    .where('member_id', '=', team.memberId)
    .where('state', '=', 'planned')
    .where('valid_from', '>', from)
    .execute()
}

/** What is in force or planned of somebody in a team, in the order of time. */
export function listMembershipsAhead(db: Db, teamId: string, memberId: string): Promise<TeamMember[]> {
  return db
    .selectFrom('team_members')
    .select(columns)
    .where('team_id', '=', teamId)
    .where('member_id', '=', memberId)
    .where('state', '!=', 'ended')
    .orderBy('valid_from')
    .execute()
}

/** Ends memberships now, and takes back those planned: of one member, of one team, or of both. @returns whose were in force */
export async function endTeamMembers(
  db: Db,
  which: { projectId: string; teamId?: string; memberId?: string },
  at: Date,
): Promise<string[]> {
  await db
    .deleteFrom('team_members')
    .where('project_id', '=', which.projectId)
    .where('state', '=', 'planned')
    .$if(which.teamId !== undefined, query => query.where('team_id', '=', which.teamId ?? ''))
    .$if(which.memberId !== undefined, query => query.where('member_id', '=', which.memberId ?? ''))
    .execute()
  const rows = await db
    .updateTable('team_members')
    .set({ valid_to: at, state: 'ended' })
    .where('project_id', '=', which.projectId)
    .where('state', '=', 'in_force')
    .$if(which.teamId !== undefined, query => query.where('team_id', '=', which.teamId ?? ''))
    .$if(which.memberId !== undefined, query => query.where('member_id', '=', which.memberId ?? ''))
    .returning('member_id')
    .execute()
  return [...new Set(rows.map(row => row.member_id))].sort()
}

/** A membership whose time has come, to begin or to end. */
export interface DueMembership {
  team_id: string
  member_id: string
  role: TeamRole
  state: 'in_force' | 'ended'
}

/** Projects in which the time of memberships has come, those aside that were deleted. */
export async function listProjectsWithDueMembers(db: Db, at: Date, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('team_members')
    .innerJoin('projects', 'projects.project_id', 'team_members.project_id')
    .select('team_members.project_id')
    .distinct()
    .where('projects.deleted_at', 'is', null)
    .where(isDue(at))
    .limit(limit)
    .execute()
  return rows.map(row => row.project_id)
}

/** Lets memberships of a project begin and end whose time has come, with it locked: what ends before what begins. */
export async function takeDueMembers(db: Db, projectId: string, at: Date, limit: number): Promise<DueMembership[]> {
  const due = await db
    .selectFrom('team_members')
    .select(['team_member_id', 'valid_to'])
    .where('project_id', '=', projectId)
    .where(isDue(at))
    .orderBy('valid_from')
    .limit(limit)
    .execute()
  const taken: DueMembership[] = []
  for (const state of ['ended', 'in_force'] as const) {
    const ids = due
      .filter(row => (row.valid_to !== null && row.valid_to <= at) === (state === 'ended'))
      .map(row => row.team_member_id)
    const rows = await db
      .updateTable('team_members')
      .set({ state })
      .where(sql<boolean>`team_member_id = any(${ids}::text[])`)
      .returning(['team_id', 'member_id', 'role'])
      .execute()
    taken.push(...rows.map(row => ({ ...row, state })))
  }
  return taken
}

const isDue = (at: Date) =>
  sql<boolean>`((state = 'planned' and valid_from <= ${at}) or (state = 'in_force' and valid_to <= ${at}))`

/** The teams of a project that somebody is in now. */
export async function listTeamsOfMember(db: Db, projectId: string, memberId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('team_members')
    .select('team_id')
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .where('state', '=', 'in_force')
    .orderBy('team_id')
    .execute()
  return rows.map(row => row.team_id)
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

/** Makes a team the default of somebody who has none. */
export async function adoptDefaultTeam(db: Db, projectId: string, teamId: string, memberId: string): Promise<void> {
  await db
    .updateTable('project_members')
    .set({ default_team_id: teamId })
    .where('project_id', '=', projectId)
    .where('member_id', '=', memberId)
    .where('default_team_id', 'is', null)
    .execute()
}

/**
 * Puts another team in the place of one that was left, as the default of everybody or of one member: of those they are in, the
 * one they have been in longest; null where they are in none.
 */
export async function replaceDefaultTeam(db: Db, projectId: string, teamId: string, memberId?: string): Promise<void> {
  await db
    .updateTable('project_members')
    .set(({ selectFrom }) => ({
      default_team_id: selectFrom('team_members')
        .select('team_members.team_id')
        .whereRef('team_members.project_id', '=', 'project_members.project_id')
        .whereRef('team_members.member_id', '=', 'project_members.member_id')
        .where('team_members.state', '=', 'in_force')
        .where('team_members.team_id', '!=', teamId)
        .orderBy('team_members.valid_from')
        .orderBy('team_members.team_id')
        .limit(1),
    }))
    .where('project_id', '=', projectId)
    .where('default_team_id', '=', teamId)
    .$if(memberId !== undefined, query => query.where('member_id', '=', memberId ?? ''))
    .execute()
}
