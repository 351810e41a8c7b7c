import { CompactSign } from 'jose/jws/compact/sign'
import { compactVerify } from 'jose/jws/compact/verify'
import { parseUnambiguous } from './parse-unambiguous.ts'
import { isPlainText } from './plain-text.ts'

export { looksLikeJwt, maxTokenLength } from './token-shape.ts'

/** What a participant token says, once it is verified. */
export interface ParticipantClaims {
  keyId: string
  projectId: string
  name: string
  room: string | undefined
  /** `undefined`: no LLM grant. `null`: every model the project allows. */
  models: readonly string[] | null | undefined
  /** Whose calls it makes: only tokens that the server mints may say so ({@link requireOwnMember}). */
  memberId: string | undefined
  /** Milliseconds; undefined: does not expire. */
  expiresAtMs: number | undefined
  /** Which of the secrets has signed it: its place among them. */
  signedBy: number
  /** All that it claims, as it was written. */
  payload: Readonly<Record<string, unknown>>
}

/** Why a token is no good. The text is safe to show. */
export class TokenError extends Error {
  override name = 'TokenError'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const base64url = /^[A-Za-z0-9_-]+$/
/**
 * Reads the key id from a token that is not verified yet, to find the secret that must have signed it. Only canonical
 * base64url is read: a second spelling of the same bytes is another token. @throws TokenError
 */
export function readKeyId(token: string): string {
  const payload = readPayload(token)
  if (typeof payload.kid !== 'string') throw new TokenError('The token names no key ("kid").')
  return payload.kid
}

function readPayload(token: string): Record<string, unknown> {
  const parts = token.split('.')
  for (const part of parts) {
    if (!base64url.test(part) || Buffer.from(part, 'base64url').toString('base64url') !== part) {
      throw new TokenError('The token is not canonical base64url.')
    }
  }
  const [headerPart = '', payloadPart = ''] = parts
  const header = parseObject(headerPart)
  if (
    header.alg !== 'HS256' ||
    (header.typ !== undefined && header.typ !== 'JWT') ||
    Object.keys(header).some(name => name !== 'alg' && name !== 'typ')
  ) {
    throw new TokenError('The token header must be {"alg":"HS256","typ":"JWT"}.')
  }
  return parseObject(payloadPart)
}

function parseObject(part: string): Record<string, unknown> {
  try {
    // A member that stands there twice is read as the first by one reader and as the last by another.
    const value = parseUnambiguous(utf8.decode(Buffer.from(part, 'base64url')))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Falls through to the one error.
  }
  throw new TokenError('The token is not a JSON Web Token.')
}

/**
 * Verifies a participant token: HS256 with the UTF-8 bytes of the key's secret, nothing else.
 * @param secrets the key's secrets, newest first
 * @throws TokenError
 */
export async function verifyParticipantToken(
  token: string,
  secrets: readonly Uint8Array[],
  nowMs: number,
): Promise<ParticipantClaims> {
  const payload = readPayload(token)
  const signedBy = await findSigner(token, secrets)
  if (signedBy < 0) throw new TokenError('The token is not signed with the secret of the key it names.')
  const { name, grants, kid, sub, exp, sluice_member: memberId } = payload
  if (typeof name !== 'string' || name === '' || name.length > 256 || !isPlainText(name))
    throw new TokenError('The token has no name, or one that is no plain text of at most 256 characters.')
  if (typeof kid !== 'string' || typeof sub !== 'string') throw new TokenError('The token names no key or no project.')
  if (memberId !== undefined && typeof memberId !== 'string')
    throw new TokenError('The token names a member that is none ("sluice_member").')
  if (!Array.isArray(grants)) throw new TokenError('The token has no grants.')
  if (exp !== undefined && (typeof exp !== 'number' || !Number.isFinite(exp)))
    throw new TokenError('The token has an expiry that is no number.')
  if (typeof exp === 'number' && exp * 1000 <= nowMs)
    throw new TokenError('The token has expired. Have a new one made.')
  return {
    keyId: kid,
    projectId: sub,
    name,
    room: roomOf(grants),
    models: modelsOf(grants),
    memberId,
    expiresAtMs: typeof exp === 'number' ? exp * 1000 : undefined,
    signedBy,
    payload,
  }
}

/**
 * Requires that the member whom a token names is the member of the key that has signed it, which the server alone can sign with.
 * Whoever holds any other key can write what they like into a token. @throws TokenError
 */
export function requireOwnMember(
  { memberId }: Pick<ParticipantClaims, 'memberId'>,
  signer: { system?: true; member_id?: string },
): void {
  if (memberId !== (signer.system ? signer.member_id : undefined))
    throw new TokenError('The token names a member, which tokens that the server mints alone may do.')
}

/** What a token says that is to be signed. */
export interface NewParticipantToken {
  name: string
  grants: readonly unknown[]
  keyId: string
  projectId: string
  memberId: string | undefined
  expiresAtMs: number
}

/** Signs a participant token as clients of MeshAgent do, with the secret part of a key. */
export function signParticipantToken(token: NewParticipantToken, secret: Uint8Array): Promise<string> {
  const payload = {
    name: token.name,
    grants: token.grants,
    version: tokenVersion,
    kid: token.keyId,
    sub: token.projectId,
    ...(token.memberId === undefined ? {} : { sluice_member: token.memberId }),
    exp: Math.floor(token.expiresAtMs / 1_000),
  }
  return new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(secret)
}

/** Of the client whose tokens ours look like: readers choose by it what an absent scope means. */
const tokenVersion = '0.39.9'

/** Its place among the secrets; -1: none has signed it. */
async function findSigner(token: string, secrets: readonly Uint8Array[]): Promise<number> {
  for (const [place, secret] of secrets.entries()) {
    try {
      await compactVerify(token, secret, { algorithms: ['HS256'] })
      return place
    } catch {
      // Another secret of a rotated key may have signed it.
    }
  }
  return -1
}

interface Grant {
  name?: unknown
  scope?: unknown
}

function findGrant(grants: readonly unknown[], name: string): Grant | undefined {
  const found = grants.filter(
    (grant): grant is Grant => typeof grant === 'object' && grant !== null && (grant as Grant).name === name,
  )
  if (found.length > 1) throw new TokenError(`The token has two grants named "${name}".`)
  return found[0]
}

function roomOf(grants: readonly unknown[]): string | undefined {
  const grant = findGrant(grants, 'room')
  if (!grant) return undefined
  if (typeof grant.scope !== 'string' || grant.scope === '' || grant.scope.length > 63 || !isPlainText(grant.scope))
    throw new TokenError('The room grant names no room.')
  return grant.scope
}

/** `api.llm` absent: no grant. `{}`: all. `{models: [...]}`: those, `[]` none. */
function modelsOf(grants: readonly unknown[]): readonly string[] | null | undefined {
  const scope = findGrant(grants, 'api')?.scope
  if (typeof scope !== 'object' || scope === null) return undefined
  const llm = (scope as { llm?: unknown }).llm
  if (typeof llm !== 'object' || llm === null) return undefined
  const models = (llm as { models?: unknown }).models
  if (models === undefined || models === null) return null
  if (!Array.isArray(models) || !models.every(model => typeof model === 'string'))
    throw new TokenError('The LLM grant has models that are no list of names.')
  return models
}
