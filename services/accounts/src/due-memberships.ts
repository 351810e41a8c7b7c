import type { Actor, Changes } from './change-store.ts'
import { announceTeamMembers } from './change-team-member.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import {
  adoptDefaultTeam,
  type DueMembership,
  listProjectsWithDueMembers,
  replaceDefaultTeam,
  takeDueMembers,
} from './team-member-store.ts'

const actor: Actor = { kind: 'system', id: 'sweep', accountId: '' }
/** In one transaction, and in one sweep: the next one goes on. */
const mostMembers = 500
const mostProjects = 100

/**
 * Lets memberships of teams begin and end whose time has come, and tells gateways: one project at a time, under its lock. What
 * was planned was on record when it was planned.
 */
export async function beginAndEndMemberships(changes: Changes): Promise<void> {
  const projectIds = await changes.make(actor, change =>
    listProjectsWithDueMembers(change.trx, new Date(change.nowMs), mostProjects),
  )
  for (const projectId of projectIds)
    await changes.make(actor, async change => {
      await lockProject(change.trx, projectId)
      const due = await takeDueMembers(change.trx, projectId, new Date(change.nowMs), mostMembers)
      for (const { team_id, member_id, state } of due.filter(isAlone))
        if (state === 'ended') await replaceDefaultTeam(change.trx, projectId, team_id, member_id)
        else await adoptDefaultTeam(change.trx, projectId, team_id, member_id)
      if (due.some(({ role }) => role === 'owner')) await announceProjectChange(change, projectId)
      await announceTeamMembers(change, projectId, [...new Set(due.map(row => row.member_id))].sort())
    })
}

/** Not where one membership of a team follows upon another: they were in it, and stay. */
function isAlone(row: DueMembership, _index: number, due: readonly DueMembership[]): boolean {
  return !due.some(
    other => other.team_id === row.team_id && other.member_id === row.member_id && other.state !== row.state,
  )
}
