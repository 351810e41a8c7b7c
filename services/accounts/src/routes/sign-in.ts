import { Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { originOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { beginSession, Credentials, proveMember, sessionSeconds } from '../begin-session.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer(),
  member_id: Type.String(),
})

/** Signs a member in with a password, for a program: the session's token is a bearer. */
export function registerSignIn(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Body: Credentials }>(
    '/accounts/sign-in',
    {
      config: { access: 'public' },
      schema: { summary: 'Sign in', body: Credentials, response: responses({ 200: Response }) },
    },
    async request => {
      const member = await proveMember(deps, request.body, request.ip)
      const token = await beginSession(deps, member, 'st_', originOf(request))
      return { access_token: token, token_type: 'Bearer', expires_in: sessionSeconds, member_id: member.member_id }
    },
  )
}
