import { errorOf } from '@sluice/runtime'
import { newId } from './api-key.ts'
import { announceKeyChanges, listKeyIdsOfServiceAccount } from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { lockProject } from './project-store.ts'
import {
  countServiceAccounts,
  findActiveServiceAccount,
  findServiceAccount,
  insertServiceAccount,
  markServiceAccountDisabled,
  type ServiceAccount,
  type ServiceAccountSettings,
  updateServiceAccount,
} from './service-account-store.ts'
import { hasTeam } from './team-store.ts'

/** Makes a service account. @throws AppError 400 for a team that is none, 409 where the project has one of that name */
export async function createServiceAccount(
  change: Change,
  projectId: string,
  wanted: ServiceAccountSettings,
  createdBy: string,
): Promise<ServiceAccount> {
  await lockProject(change.trx, projectId)
  await requireUsable(change, projectId, wanted, undefined)
  await change.limits.requireRoom('serviceAccounts', projectId, () => countServiceAccounts(change.trx, projectId))
  const serviceAccountId = newId('sa')
  const at = new Date(change.nowMs)
  await insertServiceAccount(change.trx, { ...wanted, serviceAccountId, projectId, createdBy, at })
  await change.audit({ action: 'service-account.created', target: serviceAccountId, projectId, after: audited(wanted) })
  return findActiveServiceAccount(change.trx, projectId, serviceAccountId)
}

/** Replaces what may be set of a service account; its keys follow. @throws AppError 400, 404, 409 */
export async function changeServiceAccount(
  change: Change,
  projectId: string,
  idOrName: string,
  wanted: ServiceAccountSettings,
): Promise<ServiceAccount> {
  await lockProject(change.trx, projectId)
  const before = await findActiveServiceAccount(change.trx, projectId, idOrName)
  const { service_account_id: id } = before
  await requireUsable(change, projectId, wanted, id)
  await updateServiceAccount(change.trx, id, wanted)
  if (before.team_id !== wanted.teamId)
    await announceKeyChanges(change, await listKeyIdsOfServiceAccount(change.trx, id))
  await change.audit({
    action: 'service-account.changed',
    target: id,
    projectId,
    before: audited({ ...before, teamId: before.team_id }),
    after: audited(wanted),
  })
  return findActiveServiceAccount(change.trx, projectId, id)
}

/** Disables a service account for good: its keys may do nothing any more, and its name is free. @throws AppError 404 */
export async function disableServiceAccount(change: Change, projectId: string, idOrName: string): Promise<void> {
  await lockProject(change.trx, projectId)
  const found = await findActiveServiceAccount(change.trx, projectId, idOrName)
  const { service_account_id: id } = found
  await markServiceAccountDisabled(change.trx, id, new Date(change.nowMs))
  await announceKeyChanges(change, await listKeyIdsOfServiceAccount(change.trx, id))
  const before = audited({ ...found, teamId: found.team_id })
  await change.audit({ action: 'service-account.disabled', target: id, projectId, before })
}

async function requireUsable(
  change: Change,
  projectId: string,
  wanted: ServiceAccountSettings,
  ownId: string | undefined,
): Promise<void> {
  if (wanted.teamId !== null && !(await hasTeam(change.trx, projectId, wanted.teamId)))
    throw errorOf(errors.invalidRequest, {
      message: 'team_id names no team of this project. List them with GET …/teams.',
    })
  const named = await findServiceAccount(change.trx, projectId, wanted.name)
  if (named && named.service_account_id !== ownId) throw errorOf(errors.conflict)
}

function audited({ name, description, teamId }: Pick<ServiceAccountSettings, 'name' | 'description' | 'teamId'>) {
  return { name, description, team_id: teamId }
}
