import { rolePermissions } from '@sluice/contracts'
import { errorOf, type SecretBox } from '@sluice/runtime'
import { announceKeyRevoked } from './announcement.ts'
import { type KeyLimits, newSecret, requireWithin } from './api-key.ts'
import {
  type ApiKeySummary,
  announceKeyChange,
  endSecrets,
  findApiKey,
  insertSecret,
  listKeyGrants,
  markRevoked,
  updateApiKey,
} from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { errors, notFound } from './errors.ts'
import { lockProject } from './project-store.ts'
import { hasTeam } from './team-store.ts'

/** What may be set of a key that exists. What is not said stays. */
export type ApiKeyChange = Partial<
  Pick<ApiKeySummary, 'name' | 'description' | 'models' | 'ip_ranges' | 'team_id' | 'expires_at'>
>

/**
 * Changes a key. What it is before and what it becomes must be within the caller's own: a key that is stronger than they are
 * is not theirs to change. @throws AppError 400, 403, 404
 */
export async function changeApiKey(
  change: Change,
  projectId: string,
  keyId: string,
  wanted: ApiKeyChange,
  own: KeyLimits,
): Promise<ApiKeySummary> {
  await lockProject(change.trx, projectId)
  const before = await findOwnKey(change, projectId, keyId, own)
  const after = { ...before, ...wanted }
  requireWithin(limitsOf(after), own)
  if (after.team_id !== null && after.team_id !== before.team_id)
    if (!(await hasTeam(change.trx, projectId, after.team_id)))
      throw errorOf(errors.invalidRequest, {
        message: 'team_id names no team of this project. List them with GET …/teams.',
      })
  await updateApiKey(change.trx, keyId, after)
  await announceKeyChange(change, keyId)
  await change.audit({
    action: 'api-key.changed',
    target: keyId,
    projectId,
    before: audited(before),
    after: audited(after),
  })
  return after
}

/**
 * Gives a key another secret under its id: usage and budgets count both as one. The former one ends after the overlap, and
 * what was former before, now. @returns the key, and its value, whose only copy that is
 */
export async function rotateApiKey(
  change: Change,
  box: SecretBox,
  rotation: { projectId: string; keyId: string; overlapS: number },
  own: KeyLimits,
): Promise<{ key: ApiKeySummary; value: string }> {
  const { projectId, keyId, overlapS } = rotation
  await lockProject(change.trx, projectId)
  const before = await findOwnKey(change, projectId, keyId, own)
  if (before.kind !== 'key') throw errorOf(errors.foreignKey)
  const now = new Date(change.nowMs)
  const newestEndsAt = new Date(change.nowMs + overlapS * 1_000)
  await endSecrets(change.trx, keyId, { now, newestEndsAt })
  const { value, ...secret } = newSecret(box, projectId, keyId)
  if (!(await insertSecret(change.trx, keyId, secret))) throw new Error('two secrets are the same')
  await announceKeyChange(change, keyId)
  await change.audit({
    action: 'api-key.rotated',
    target: keyId,
    projectId,
    after: { secret_id: secret.secretId, former_ends_at: newestEndsAt },
  })
  const key = await findApiKey(change.trx, projectId, keyId, now)
  if (!key) throw notFound()
  return { key, value }
}

/**
 * Revokes keys for somebody who may write keys. It gives nobody anything, so that roles do not count: who manages keys ends
 * what has leaked, whatever it may do. A key that is limited reaches no further than its limits in this either, but for itself.
 * @param by.keyId the key that asks, where one does
 * @returns those that there were to revoke @throws AppError 403
 */
export async function revokeApiKeysFor(
  change: Change,
  projectId: string,
  keyIds: readonly string[],
  by: { own: KeyLimits; keyId: string | undefined },
): Promise<string[]> {
  await lockProject(change.trx, projectId)
  for (const key of await listKeyGrants(change.trx, projectId, keyIds))
    if (key.key_id !== by.keyId) requireWithin({ ...limitsOf(key), permissions: [] }, by.own)
  return revokeApiKeys(change, projectId, keyIds)
}

/** Revokes keys of a project, whoever owns them, and with them every token that they signed. @returns how many there were to revoke */
export async function revokeApiKeys(change: Change, projectId: string, keyIds: readonly string[]): Promise<string[]> {
  const { account_id } = await lockProject(change.trx, projectId)
  const revoked: string[] = []
  for (const keyId of keyIds) {
    const before = await markRevoked(change.trx, projectId, keyId, new Date(change.nowMs))
    if (!before) continue
    await announceKeyChange(change, keyId)
    await change.announce([
      announceKeyRevoked({ key_id: keyId, project_id: projectId, account_id, at_ms: change.nowMs }),
    ])
    await change.audit({ action: 'api-key.revoked', target: keyId, projectId, before })
    revoked.push(keyId)
  }
  return revoked
}

/** @throws AppError 404, 403 where it is more than the caller could make */
async function findOwnKey(change: Change, projectId: string, keyId: string, own: KeyLimits): Promise<ApiKeySummary> {
  const key = await findApiKey(change.trx, projectId, keyId, new Date(change.nowMs))
  if (!key) throw notFound()
  requireWithin(limitsOf(key), own)
  return key
}

function limitsOf(key: Pick<ApiKeySummary, 'role' | 'models' | 'ip_ranges' | 'expires_at'>): KeyLimits {
  return {
    permissions: rolePermissions[key.role],
    models: key.models ?? undefined,
    ipRanges: key.ip_ranges ?? undefined,
    expiresAtMs: key.expires_at?.getTime(),
  }
}

function audited({ name, description, models, ip_ranges, team_id, expires_at }: ApiKeySummary) {
  return { name, description, models, ip_ranges, team_id, expires_at }
}
