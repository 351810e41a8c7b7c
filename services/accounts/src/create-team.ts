import { errorOf } from '@sluice/runtime'
import { newId } from './api-key.ts'
import type { Change } from './change-store.ts'
import { setTeamOwner } from './change-team-member.ts'
import { errors } from './errors.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import { auditedTeam, requireSeatBudget } from './team.ts'
import { setCostCentre } from './team-cost-centre-store.ts'
import { countOpenTeams, findOpenTeam, findTeamByName, insertTeam, type Team, type TeamSettings } from './team-store.ts'

/** A team as it is asked for. */
export interface TeamRequest extends TeamSettings {
  ownerId: string | null
  costCentre: string | null
}

/** A team that has a name and nothing else. */
export const plainTeam = (name: string): TeamRequest => ({
  name,
  allowedModels: null,
  seatBudget: null,
  ownerId: null,
  costCentre: null,
})

/**
 * Makes a team, with its audit entry and announcement.
 * @throws AppError 409 where the project has one of that name, 403 where its seats would get what one may not give
 */
export async function createTeam(
  change: Change,
  projectId: string,
  wanted: TeamRequest,
  by: { mayBudget: boolean },
): Promise<Team> {
  requireSeatBudget(null, wanted.seatBudget, by.mayBudget)
  const at = new Date(change.nowMs)
  await lockProject(change.trx, projectId)
  if (await findTeamByName(change.trx, projectId, wanted.name, at)) throw errorOf(errors.conflict)
  await change.limits.requireRoom('teams', projectId, () => countOpenTeams(change.trx, projectId))
  const teamId = newId('team')
  await insertTeam(change.trx, { ...wanted, teamId, projectId, at })
  await setCostCentre(change.trx, { projectId, teamId }, wanted.costCentre, at)
  await setTeamOwner(change, { projectId, teamId }, wanted.ownerId)
  await announceProjectChange(change, projectId)
  const team = await findOpenTeam(change.trx, projectId, teamId, at)
  await change.audit({ action: 'team.created', target: teamId, projectId, after: auditedTeam(team) })
  return team
}
