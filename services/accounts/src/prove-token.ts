import type { Key, ProvedParticipant } from '@sluice/contracts'
import {
  type ParticipantClaims,
  readKeyId,
  requireOwnMember,
  TokenError,
  verifyParticipantToken,
} from '@sluice/runtime/participant-token'
import { readKeyDocuments } from './api-key-store.ts'
import type { AppDeps } from './app.ts'
import { isUuid } from './routes/route-schemas.ts'

export type ProveDeps = Pick<AppDeps, 'db' | 'box' | 'now'>

interface Proof {
  claims: ParticipantClaims
  /** Of the key's secret that has signed it. */
  keyHash: string
}

/** What a participant token says that an active key of its project has signed. @throws TokenError */
export async function proveToken(deps: ProveDeps, token: string): Promise<Proof> {
  const keyId = readKeyId(token)
  const [key] = isUuid(keyId) ? await readKeyDocuments(deps.db, [keyId]) : []
  const nowMs = deps.now()
  if (!key || key.revoked_at_ms !== undefined || (key.expires_at_ms ?? Infinity) <= nowMs)
    throw new TokenError('The key that signed this token is unknown, expired or revoked.')
  // Its member or service account is disabled or gone, or its project is: no gateway takes it either.
  if (key.permissions?.length === 0) throw new TokenError('The key that signed this token may do nothing any more.')
  const secrets = secretsOf(deps, key, nowMs)
  const claims = await verifyParticipantToken(
    token,
    secrets.map(({ bytes }) => bytes),
    nowMs,
  )
  if (claims.projectId !== key.project_id) throw new TokenError('The token names a project that is not its key’s.')
  requireOwnMember(claims, key)
  return { claims, keyHash: secrets[claims.signedBy]?.hash ?? '' }
}

/** Who a token speaks for, for services that cannot open secrets; undefined: for nobody. */
export async function proveParticipant(deps: ProveDeps, token: string): Promise<ProvedParticipant | undefined> {
  try {
    const { claims, keyHash } = await proveToken(deps, token)
    const { name, room, models } = claims
    return { key_hash: keyHash, name, ...(room === undefined ? {} : { room }), may_call: models !== undefined }
  } catch (error) {
    if (error instanceof TokenError) return undefined
    throw error
  }
}

function secretsOf({ box }: ProveDeps, key: Key, nowMs: number): { hash: string; bytes: Uint8Array }[] {
  const binding = { purpose: 'key-secret', projectId: key.project_id, rowId: key.key_id } as const
  return key.secrets
    .filter(secret => (secret.expires_at_ms ?? Infinity) > nowMs)
    .flatMap(({ hash, envelope }) => (envelope ? [{ hash, bytes: Buffer.from(box.open(envelope, binding)) }] : []))
}
