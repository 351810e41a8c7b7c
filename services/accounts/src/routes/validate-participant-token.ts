import { Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { maxTokenLength, TokenError } from '@sluice/runtime/participant-token'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { proveToken } from '../prove-token.ts'
import { responses } from './route-schemas.ts'

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
        return (await proveToken(deps, request.body.token)).claims.payload
      } catch (error) {
        if (error instanceof TokenError) throw errorOf(errors.invalidToken)
        throw error
      }
    },
  )
}
