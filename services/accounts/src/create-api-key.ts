import type { Role } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { uuidv7 } from 'uuidv7'
import { newId, newSecret } from './api-key.ts'
import { announceKeyChange, countApiKeys, insertApiKey, insertSecret, type NewSecretRow } from './api-key-store.ts'
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
  /** The program that owns the key, by its id or its name. */
  serviceAccountId: string | null
  name: string
  description: string
  role: Role
  models: readonly string[] | null
  ipRanges: readonly string[] | null
  expiresAt: Date | null
  createdBy: string
}

/** Makes a key, with its audit entry and announcement. `value` is the only copy of the whole key. */
export async function createApiKey(
  change: Change,
  box: SecretBox,
  wanted: ApiKeyRequest,
): Promise<{ keyId: string; value: string }> {
  const keyId = uuidv7()
  const { value, ...secret } = newSecret(box, wanted.projectId, keyId)
  await insertKey(change, keyId, wanted, 'key', secret)
  return { keyId, value }
}

/**
 * Makes a key of one that another system has given out, of which the SHA-256 is all that is known here. It is for calls alone.
 * @throws AppError 409 where this installation knows that hash already
 */
export async function createForeignKey(
  change: Change,
  sha256Hex: string,
  wanted: ApiKeyRequest,
): Promise<{ keyId: string }> {
  const keyId = uuidv7()
  await insertKey(change, keyId, wanted, 'foreign', { secretId: newId('sec'), hash: sha256Hex, envelope: null })
  return { keyId }
}

async function insertKey(
  change: Change,
  keyId: string,
  wanted: ApiKeyRequest,
  kind: 'key' | 'foreign',
  secret: NewSecretRow,
): Promise<void> {
  await lockProject(change.trx, wanted.projectId)
  if (wanted.teamId !== null && !(await hasTeam(change.trx, wanted.projectId, wanted.teamId)))
    throw errorOf(errors.invalidRequest, {
      message: 'team_id names no team of this project. List them with GET …/teams.',
    })
  if (wanted.memberId !== null && !(await isMemberOfProject(change.trx, wanted.projectId, wanted.memberId)))
    throw errorOf(errors.invalidRequest, { message: 'member_id names no member of this project.' })
  const owner =
    wanted.serviceAccountId === null
      ? undefined
      : await findActiveServiceAccount(change.trx, wanted.projectId, wanted.serviceAccountId)
  const serviceAccountId = owner?.service_account_id ?? null
  await change.limits.requireRoom('keys', wanted.projectId, () => countApiKeys(change.trx, wanted.projectId))
  await insertApiKey(change.trx, { ...wanted, serviceAccountId, keyId, kind })
  if (!(await insertSecret(change.trx, keyId, secret))) throw errorOf(errors.keyKnown)
  await announceKeyChange(change, keyId)
  await change.audit({
    action: 'api-key.created',
    target: keyId,
    projectId: wanted.projectId,
    after: {
      kind,
      name: wanted.name,
      role: wanted.role,
      team_id: wanted.teamId,
      member_id: wanted.memberId,
      service_account_id: serviceAccountId,
      models: wanted.models,
      ip_ranges: wanted.ipRanges,
      expires_at: wanted.expiresAt,
    },
  })
}
