import { errorOf } from '@sluice/runtime'
import { newId } from './api-key.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { announceProjectChange, lockProject } from './project-store.ts'
import { findTeamByName, insertTeam, type Team } from './team-store.ts'

/** Makes a team, with its audit entry and announcement. @throws AppError 409 where the project has one of that name */
export async function createTeam(change: Change, projectId: string, name: string): Promise<Team> {
  await lockProject(change.trx, projectId)
  if (await findTeamByName(change.trx, projectId, name)) throw errorOf(errors.conflict)
  const teamId = newId('team')
  await insertTeam(change.trx, { teamId, projectId, name })
  await announceProjectChange(change, projectId)
  await change.audit({ action: 'team.created', target: teamId, projectId, after: { name } })
  return { team_id: teamId, name, created_at: new Date(change.nowMs) }
}
