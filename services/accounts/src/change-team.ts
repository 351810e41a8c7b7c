import { errorOf } from '@sluice/runtime'
import type { Change } from './change-store.ts'
import { announceTeamMembers, setTeamOwner } from './change-team-member.ts'
import type { TeamRequest } from './create-team.ts'
import { errors } from './errors.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import { countServiceAccountsOfTeam } from './service-account-store.ts'
import { auditedTeam, requireSeatBudget, requireTeamModels } from './team.ts'
import { endCostCentres, setCostCentre } from './team-cost-centre-store.ts'
import { endTeamMembers, replaceDefaultTeam } from './team-member-store.ts'
import { countKeysOfTeam, findOpenTeam, findTeamByName, markTeamClosed, type Team, updateTeam } from './team-store.ts'

/**
 * Replaces what may be set of a team, from now on.
 * @throws AppError 404, 409 where another team has the name, 403 where it would give seats or models as one may not
 */
export async function changeTeam(
  change: Change,
  projectId: string,
  teamId: string,
  wanted: TeamRequest,
  by: { mayBudget: boolean; mayModels: boolean },
): Promise<Team> {
  const at = new Date(change.nowMs)
  await lockProject(change.trx, projectId)
  const before = await findOpenTeam(change.trx, projectId, teamId, at)
  requireSeatBudget(before.seat_budget, wanted.seatBudget, by.mayBudget)
  requireTeamModels(before.allowed_models, wanted.allowedModels, by.mayModels)
  const named = await findTeamByName(change.trx, projectId, wanted.name, at)
  if (named && named.team_id !== teamId) throw errorOf(errors.conflict)
  await updateTeam(change.trx, teamId, wanted)
  if (wanted.costCentre !== before.cost_centre)
    await setCostCentre(change.trx, { projectId, teamId }, wanted.costCentre, at)
  await setTeamOwner(change, { projectId, teamId }, wanted.ownerId)
  await announceProjectChange(change, projectId)
  const after = await findOpenTeam(change.trx, projectId, teamId, at)
  await change.audit({
    action: 'team.changed',
    target: teamId,
    projectId,
    before: auditedTeam(before),
    after: auditedTeam(after),
  })
  return after
}

/**
 * Books a team on a cost centre from a time on, which may be to come: what has been spent before stays where it was booked.
 * @throws AppError 404, 400 for a time that is over
 */
export async function planCostCentre(
  change: Change,
  projectId: string,
  teamId: string,
  plan: { costCentre: string | null; from: Date | null },
): Promise<void> {
  const at = new Date(change.nowMs)
  const from = plan.from ?? at
  if (from < at)
    throw errorOf(errors.invalidRequest, { message: 'valid_from is over: what was booked stays where it was.' })
  await lockProject(change.trx, projectId)
  await findOpenTeam(change.trx, projectId, teamId, at)
  await setCostCentre(change.trx, { projectId, teamId }, plan.costCentre, from)
  await change.audit({
    action: 'team.cost-centre-set',
    target: teamId,
    projectId,
    after: { cost_centre: plan.costCentre, valid_from: from },
  })
}

/**
 * Closes a team for good. Its members leave it, its name is free again, and what it has spent stays its own.
 * @throws AppError 404, 409 where it still pays for keys or service accounts
 */
export async function closeTeam(change: Change, projectId: string, teamId: string): Promise<void> {
  const at = new Date(change.nowMs)
  await lockProject(change.trx, projectId)
  const before = await findOpenTeam(change.trx, projectId, teamId, at)
  const keys = await countKeysOfTeam(change.trx, teamId)
  const serviceAccounts = await countServiceAccountsOfTeam(change.trx, teamId)
  if (keys + serviceAccounts > 0)
    throw errorOf(errors.teamInUse, {
      message: `The team still pays: keys ${keys}, service accounts ${serviceAccounts}. End them or give them another team first.`,
    })
  const left = await endTeamMembers(change.trx, { projectId, teamId }, at)
  await replaceDefaultTeam(change.trx, projectId, teamId)
  await endCostCentres(change.trx, { projectId, teamId }, at)
  await markTeamClosed(change.trx, teamId, at)
  await announceProjectChange(change, projectId)
  await announceTeamMembers(change, projectId, left)
  await change.audit({ action: 'team.closed', target: teamId, projectId, before: auditedTeam(before) })
}
