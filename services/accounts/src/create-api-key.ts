import type { Role } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { newApiKey } from './api-key.ts'
import { announceKeyChange, insertApiKey } from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { isMemberOfProject } from './member-store.ts'
import { lockProject } from './project-store.ts'
import { findActiveServiceAccount } from './service-account-store.ts'
import { hasTeam } from './team-store.ts'

export interface ApiKeyRequest {
  projectId: string
  teamId: string | null
  /** Whose calls those with the key are. Tokens signed with it are nobody's. */
  memberId: string | null
  /** The program that owns the key. */
  serviceAccountId: string | null
  name: string
  description: string
  role: Role
  models: readonly string[] | null
  expiresAt: Date | null
  createdBy: string
}

/** Makes a key, with its audit entry and announcement. `value` is the only copy of the whole key. */
export async function createApiKey(
  change: Change,
  box: SecretBox,
  wanted: ApiKeyRequest,
): Promise<{ keyId: string; value: string }> {
  await lockProject(change.trx, wanted.projectId)
  if (wanted.teamId !== null && !(await hasTeam(change.trx, wanted.projectId, wanted.teamId)))
    throw errorOf(errors.invalidRequest, {
      message: 'team_id names no team of this project. List them with GET …/teams.',
    })
  if (wanted.memberId !== null && !(await isMemberOfProject(change.trx, wanted.projectId, wanted.memberId)))
    throw errorOf(errors.invalidRequest, { message: 'member_id names no member of this project.' })
  const { serviceAccountId } = wanted
  if (serviceAccountId !== null) await findActiveServiceAccount(change.trx, wanted.projectId, serviceAccountId)
  const { keyId, secretId, value, hash, envelope } = newApiKey(box, wanted.projectId)
  await insertApiKey(change.trx, { ...wanted, keyId, secretId, hash, envelope })
  await announceKeyChange(change, keyId)
  await change.audit({
    action: 'api-key.created',
    target: keyId,
    projectId: wanted.projectId,
    after: {
      name: wanted.name,
      role: wanted.role,
      team_id: wanted.teamId,
      member_id: wanted.memberId,
      service_account_id: wanted.serviceAccountId,
      models: wanted.models,
      expires_at: wanted.expiresAt,
    },
  })
  return { keyId, value }
}
