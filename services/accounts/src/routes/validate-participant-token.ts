import { type Key, Uuid } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { readKeyDocuments } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { isSignedWith, parseParticipantToken, type UnverifiedToken } from '../participant-token.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object({ token: Type.String({ minLength: 1, maxLength: 16_384 }) })
const Claims = Type.Object({}, { additionalProperties: true })
const uuid = Compile(Uuid)

/** Answers the claims of a participant token that an active key of its project has signed. */
export function registerValidateParticipantToken(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Body: Static<typeof Body> }>(
    '/api/participant-token/validate',
    { config: { access: 'public' }, schema: { body: Body, response: responses({ 200: Claims }) } },
    async request => {
      const token = parseParticipantToken(request.body.token)
      if (!token || !uuid.Check(token.claims.kid)) throw errorOf(errors.invalidToken)
      const [key] = await readKeyDocuments(deps.db, [token.claims.kid])
      if (!key || !isSignedByKey(deps, token, key)) throw errorOf(errors.invalidToken)
      return token.claims
    },
  )
}

function isSignedByKey(deps: AppDeps, token: UnverifiedToken, key: Key): boolean {
  const now = deps.now()
  if (key.revoked_at_ms !== undefined || (key.expires_at_ms ?? Infinity) <= now) return false
  if (token.claims.sub !== key.project_id) return false
  return key.secrets
    .filter(secret => (secret.expires_at_ms ?? Infinity) > now)
    .some(secret => {
      const binding = { purpose: 'key-secret', projectId: key.project_id, rowId: key.key_id } as const
      return isSignedWith(token, deps.box.open(secret.envelope, binding), now)
    })
}
