import { errorOf } from '@sluice/runtime'
import { announceMemberRights } from './announce-member.ts'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { isMemberOfProject, lockMembers } from './member-store.ts'
import { findProjectMember } from './project-member-store.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import {
  endTeamMembers,
  findTeamMember,
  findTeamOwner,
  forgetDefaultTeam,
  insertTeamMember,
  listTeamsOfMember,
  setDefaultTeam,
  type TeamRole,
} from './team-member-store.ts'
import { findOpenTeam } from './team-store.ts'

interface TeamName {
  projectId: string
  teamId: string
}

/** Takes somebody of the project into a team, or changes what they are in it, from now on. @throws AppError 400, 404 */
export async function putTeamMember(change: Change, team: TeamName, memberId: string, role: TeamRole): Promise<void> {
  const { projectId, teamId } = team
  await lockProject(change.trx, projectId)
  await findOpenTeam(change.trx, projectId, teamId, new Date(change.nowMs))
  const before = await findTeamMember(change.trx, teamId, memberId)
  if (before?.role === role) return
  if (role === 'owner') await setTeamOwner(change, team, memberId)
  else {
    await setTeamRole(change, team, memberId, role)
    await announceTeamMembers(change, projectId, [memberId])
  }
  if (role === 'owner' || before?.role === 'owner') await announceProjectChange(change, projectId)
  await change.audit({
    action: 'team-member.set',
    target: teamId,
    projectId,
    before: before && { member_id: memberId, role: before.role },
    after: { member_id: memberId, role },
  })
}

/** Takes somebody out of a team from now on. @throws AppError 404 */
export async function removeTeamMember(change: Change, team: TeamName, memberId: string): Promise<void> {
  const { projectId, teamId } = team
  await lockProject(change.trx, projectId)
  await findOpenTeam(change.trx, projectId, teamId, new Date(change.nowMs))
  const before = await findTeamMember(change.trx, teamId, memberId)
  if (!before) throw notFound()
  await endTeamMembers(change.trx, { projectId, teamId, memberId }, new Date(change.nowMs))
  await forgetDefaultTeam(change.trx, projectId, teamId, memberId)
  if (before.role === 'owner') await announceProjectChange(change, projectId)
  await announceTeamMembers(change, projectId, [memberId])
  await change.audit({
    action: 'team-member.removed',
    target: teamId,
    projectId,
    before: { member_id: memberId, role: before.role },
  })
}

/** Makes somebody the one owner of a team, with its project locked; who was it before stays a member. null: it has none. */
export async function setTeamOwner(change: Change, team: TeamName, ownerId: string | null): Promise<void> {
  const before = await findTeamOwner(change.trx, team.teamId)
  if ((before?.member_id ?? null) === ownerId) return
  if (before) await setTeamRole(change, team, before.member_id, 'member')
  if (ownerId !== null) await setTeamRole(change, team, ownerId, 'owner')
  await announceTeamMembers(
    change,
    team.projectId,
    [before?.member_id, ownerId].filter(memberId => typeof memberId === 'string'),
  )
}

/**
 * Chooses which of their teams pays for somebody's calls where none is named; null: none does.
 * @throws AppError 404, 400 where they are not in the team
 */
export async function chooseDefaultTeam(
  change: Change,
  projectId: string,
  memberId: string,
  teamId: string | null,
): Promise<void> {
  await lockProject(change.trx, projectId)
  if (!(await findProjectMember(change.trx, projectId, memberId))) throw notFound()
  const teams = await listTeamsOfMember(change.trx, projectId, memberId)
  if (teamId !== null && !teams.includes(teamId))
    throw errorOf(errors.invalidRequest, { message: 'team_id names no team that they are in.' })
  await setDefaultTeam(change.trx, projectId, memberId, teamId)
  await announceTeamMembers(change, projectId, [memberId])
  await change.audit({
    action: 'project-member.default-team-chosen',
    target: memberId,
    projectId,
    after: { team_id: teamId },
  })
}

/** Announces what sessions and keys of people know of their teams, with the project locked. */
export async function announceTeamMembers(
  change: Change,
  projectId: string,
  memberIds: readonly string[],
): Promise<void> {
  if (memberIds.length === 0) return
  const { account_id } = await lockProject(change.trx, projectId)
  await lockMembers(change.trx, account_id, memberIds)
  await announceMemberRights(change, memberIds, projectId)
}

async function setTeamRole(change: Change, team: TeamName, memberId: string, role: TeamRole): Promise<void> {
  if (!(await isMemberOfProject(change.trx, team.projectId, memberId)))
    throw errorOf(errors.invalidRequest, { message: 'This names no member of the project. Add them to it first.' })
  const from = new Date(change.nowMs)
  await endTeamMembers(change.trx, { ...team, memberId }, from)
  await insertTeamMember(change.trx, { ...team, memberId, role, from })
}
