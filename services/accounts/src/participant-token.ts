import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** What a participant token claims. Whatever else it holds is kept. */
export const ParticipantClaims = Type.Object({
  name: Type.String({ minLength: 1 }),
  grants: Type.Array(Type.Object({ name: Type.String() })),
  kid: Type.String(),
  sub: Type.String(),
  version: Type.Optional(Type.String()),
  exp: Type.Optional(Type.Number()),
})
export type ParticipantClaims = Static<typeof ParticipantClaims> & Record<string, unknown>

/** A token taken apart, not believed yet. */
export interface UnverifiedToken {
  claims: ParticipantClaims
  signingInput: string
  signature: Buffer
}

const claimsCheck = Compile(ParticipantClaims)

/** Takes a token apart; undefined where it is not exactly three canonical base64url parts, HS256, with the claims. */
export function parseParticipantToken(token: string): UnverifiedToken | undefined {
  const [head, body, tail, ...more] = token.split('.')
  if (!head || !body || !tail || more.length > 0) return undefined
  const header = parseJson(head)
  const claims = parseJson(body)
  const signature = decodeCanonical(tail)
  if (!isRecord(header) || header.alg !== 'HS256' || 'crit' in header || 'b64' in header) return undefined
  if ('typ' in header && header.typ !== 'JWT') return undefined
  if (!isRecord(claims) || !claimsCheck.Check(claims) || !signature) return undefined
  return { claims: claims as ParticipantClaims, signingInput: `${head}.${body}`, signature }
}

/** Whether a secret signed the token and it has not expired. The key is the secret's own characters, not what they encode. */
export function isSignedWith(token: UnverifiedToken, secret: string, nowMs: number): boolean {
  const expected = createHmac('sha256', secret).update(token.signingInput).digest()
  if (expected.length !== token.signature.length || !timingSafeEqual(expected, token.signature)) return false
  return token.claims.exp === undefined || token.claims.exp * 1000 > nowMs
}

function parseJson(part: string): unknown {
  try {
    return JSON.parse(decodeCanonical(part)?.toString('utf8') ?? '')
  } catch {
    return undefined
  }
}

function decodeCanonical(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
