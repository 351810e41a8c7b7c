import { type Key, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import {
  maxTokenLength,
  readKeyId,
  requireOwnMember,
  TokenError,
  verifyParticipantToken,
} from '@sluice/runtime/participant-token'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { readKeyDocuments } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { isUuid, responses } from './route-schemas.ts'

const Body = Type.Object({ token: Type.String({ minLength: 1, maxLength: maxTokenLength }) })
const Claims = Type.Object({}, { additionalProperties: true })

/** Answers the claims of a participant token that an active key of its project has signed. */
export function registerValidateParticipantToken(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Body: Static<typeof Body> }>(
    '/api/participant-token/validate',
    {
      config: { access: 'public' },
      schema: { summary: 'Validate a participant token', body: Body, response: responses({ 200: Claims }) },
    },
    async request => {
      try {
        return await readClaims(deps, request.body.token)
      } catch (error) {
        if (error instanceof TokenError) throw errorOf(errors.invalidToken)
        throw error
      }
    },
  )
}

/** @throws TokenError */
async function readClaims(deps: AppDeps, token: string): Promise<Readonly<Record<string, unknown>>> {
  const keyId = readKeyId(token)
  const [key] = isUuid(keyId) ? await readKeyDocuments(deps.db, [keyId]) : []
  const nowMs = deps.now()
  if (!key || key.revoked_at_ms !== undefined || (key.expires_at_ms ?? Infinity) <= nowMs)
    throw new TokenError('The key that signed this token is unknown, expired or revoked.')
  // Its member or service account is disabled or gone, or its project is: no gateway takes it either.
  if (key.permissions?.length === 0) throw new TokenError('The key that signed this token may do nothing any more.')
  const claims = await verifyParticipantToken(token, secretsOf(deps, key, nowMs), nowMs)
  if (claims.projectId !== key.project_id) throw new TokenError('The token names a project that is not its key’s.')
  requireOwnMember(claims, key)
  return claims.payload
}

function secretsOf({ box }: AppDeps, key: Key, nowMs: number): Uint8Array[] {
  const binding = { purpose: 'key-secret', projectId: key.project_id, rowId: key.key_id } as const
  return key.secrets
    .filter(secret => (secret.expires_at_ms ?? Infinity) > nowMs)
    .flatMap(({ envelope }) => (envelope ? [Buffer.from(box.open(envelope, binding))] : []))
}
