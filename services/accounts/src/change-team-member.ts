import { errorOf } from '@sluice/runtime'
import { announceMemberRights } from './announce-member.ts'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { isMemberOfProject, lockMembers } from './member-store.ts'
import { findProjectMember } from './project-member-store.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import {
  adoptDefaultTeam,
  deletePlannedMemberships,
  endTeamMembers,
  findTeamMember,
  findTeamOwner,
  insertTeamMember,
  listMembershipsAhead,
  listTeamsOfMember,
  replaceDefaultTeam,
  setDefaultTeam,
  setTeamMemberEnd,
  type TeamRole,
} from './team-member-store.ts'
import { findOpenTeam } from './team-store.ts'

interface TeamName {
  projectId: string
  teamId: string
}

/** When somebody is in a team, beside now and until further notice. */
export interface MembershipTimes {
  from: Date | null
  to: Date | null
}

/**
 * Takes somebody of the project into a team, or changes what they are in it, from now or a day to come, for good or until
 * another. What was planned of them for that time and after it is not any more. @throws AppError 400, 404
 */
export async function putTeamMember(
  change: Change,
  team: TeamName,
  memberId: string,
  role: TeamRole,
  times: MembershipTimes = { from: null, to: null },
): Promise<void> {
  const { projectId, teamId } = team
  const at = new Date(change.nowMs)
  requireTimesAhead(times, role, at)
  await lockProject(change.trx, projectId)
  await findOpenTeam(change.trx, projectId, teamId, at)
  const before = await findTeamMember(change.trx, teamId, memberId)
  const wasOwner = before?.role === 'owner'
  if (role === 'owner') {
    if (wasOwner && before.valid_to === null) return
    await setTeamOwner(change, team, memberId)
  } else if (!(await planMembership(change, team, memberId, times))) return
  if (role === 'owner' || wasOwner) await announceProjectChange(change, projectId)
  await change.audit({
    action: 'team-member.set',
    target: teamId,
    projectId,
    before: before && { member_id: memberId, role: before.role },
    after: {
      member_id: memberId,
      role,
      ...(times.from && { valid_from: times.from.toISOString() }),
      ...(times.to && { valid_to: times.to.toISOString() }),
    },
  })
}

/** @throws AppError 400 */
function requireTimesAhead({ from, to }: MembershipTimes, role: TeamRole, at: Date): void {
  if (role === 'owner' && (from || to))
    throw errorOf(errors.invalidRequest, { message: 'An owner is one from now on, until another is: send no times.' })
  if (from && from < at)
    throw errorOf(errors.invalidRequest, { message: 'valid_from is over: who was in a team then stays as it was.' })
  if (to && to <= (from ?? at))
    throw errorOf(errors.invalidRequest, { message: 'valid_to must be later than valid_from, and than now.' })
}

/** Makes somebody a plain member of a team for a time. @returns false where they are that already */
async function planMembership(
  change: Change,
  team: TeamName,
  memberId: string,
  { from, to }: MembershipTimes,
): Promise<boolean> {
  const at = new Date(change.nowMs)
  const begin = from ?? at
  const isNow = begin <= at
  const ahead = await listMembershipsAhead(change.trx, team.teamId, memberId)
  const current = ahead.find(row => row.valid_from <= begin && (row.valid_to === null || row.valid_to > begin))
  const isSame = current?.role === 'member' && (current.valid_to?.getTime() ?? null) === (to?.getTime() ?? null)
  if (isSame && ahead.at(-1) === current) return false
  if (!(await isMemberOfProject(change.trx, team.projectId, memberId)))
    throw errorOf(errors.invalidRequest, { message: 'This names no member of the project. Add them to it first.' })
  await deletePlannedMemberships(change.trx, { teamId: team.teamId, memberId }, begin)
  if (current?.role === 'member') await setTeamMemberEnd(change.trx, current.team_member_id, to)
  else {
    if (current && isNow) await endTeamMembers(change.trx, { ...team, memberId }, at)
    else if (current) await setTeamMemberEnd(change.trx, current.team_member_id, begin)
    await insertTeamMember(change.trx, { ...team, memberId, role: 'member', from: begin, to }, at)
    if (!current && isNow) await adoptDefaultTeam(change.trx, team.projectId, team.teamId, memberId)
  }
  if (isNow) await announceTeamMembers(change, team.projectId, [memberId])
  return true
}

/** Takes somebody out of a team from now on, and back what is planned of them there. @throws AppError 404 */
export async function removeTeamMember(change: Change, team: TeamName, memberId: string): Promise<void> {
  const { projectId, teamId } = team
  await lockProject(change.trx, projectId)
  await findOpenTeam(change.trx, projectId, teamId, new Date(change.nowMs))
  const [before] = await listMembershipsAhead(change.trx, teamId, memberId)
  if (!before) throw notFound()
  const left = await endTeamMembers(change.trx, { projectId, teamId, memberId }, new Date(change.nowMs))
  await replaceDefaultTeam(change.trx, projectId, teamId, memberId)
  if (before.role === 'owner') await announceProjectChange(change, projectId)
  await announceTeamMembers(change, projectId, left)
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
  const isSame = (before?.member_id ?? null) === ownerId
  // One who is to be it no more from a day on is it for good again.
  if (isSame && (before?.valid_to ?? null) === null) return
  if (before && !isSame) await setTeamRole(change, team, before.member_id, 'member')
  if (ownerId !== null) await setTeamRole(change, team, ownerId, 'owner')
  await announceTeamMembers(
    change,
    team.projectId,
    [before?.member_id, ownerId].filter(memberId => typeof memberId === 'string'),
  )
}

/**
 * Chooses which of their teams pays for somebody's calls where none is named; null: none does. What a team lets its people
 * spend and call would hold for nobody who could choose none by themselves.
 * @throws AppError 404, 400 where they are not in the team, 403 where somebody in a team is to have none and the caller does
 * not manage teams
 */
export async function chooseDefaultTeam(
  change: Change,
  projectId: string,
  memberId: string,
  teamId: string | null,
  by: { managesTeams: boolean },
): Promise<void> {
  await lockProject(change.trx, projectId)
  if (!(await findProjectMember(change.trx, projectId, memberId))) throw notFound()
  const teams = await listTeamsOfMember(change.trx, projectId, memberId)
  if (teamId !== null && !teams.includes(teamId))
    throw errorOf(errors.invalidRequest, { message: 'team_id names no team that they are in.' })
  if (teamId === null && teams.length > 0 && !by.managesTeams)
    throw errorOf(errors.forbidden, {
      message: 'Whoever is in a team has one that pays: name one of your teams. To have none takes teams:write.',
    })
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
  const left = await endTeamMembers(change.trx, { ...team, memberId }, from)
  await insertTeamMember(change.trx, { ...team, memberId, role, from, to: null }, from)
  if (left.length === 0) await adoptDefaultTeam(change.trx, team.projectId, team.teamId, memberId)
}
