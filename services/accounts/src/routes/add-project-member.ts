import { Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { addProjectMember, type PersonName } from '../change-project-member.ts'
import { createOnce } from '../create-once.ts'
import { errors } from '../errors.ts'
import { readRights, requireMayGrant } from '../project-member.ts'
import { NewProjectMemberBody, requireSameProject } from './project-member-body.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({
  ok: Type.Literal(true),
  user_id: Type.String(),
  /** True: the account did not know the address before. */
  created: Type.Boolean(),
})

/** Gives somebody rights in a project, by their id or by an e-mail address. */
export function registerAddProjectMember(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof NewProjectMemberBody> }>(
    '/accounts/projects/:pid/users',
    {
      config: { access: 'members:write', idempotent: true },
      schema: {
        summary: 'Add somebody to a project',
        example: {
          email: 'ada@example.com',
          first_name: 'Ada',
          last_name: 'Lovelace',
          roles: ['developer', 'llm_proxy_user'],
        },
        body: NewProjectMemberBody,
        response: responses({ 200: Response }),
      },
    },
    async request => {
      const { pid } = request.params
      requireSameProject(request.body, pid)
      const person = readPerson(request.body)
      const rights = readRights(request.body)
      requireMayGrant(callerOf(request), rights)
      return createOnce(deps, request, async change => {
        const { memberId, isNew } = await addProjectMember(change, pid, person, rights)
        return { ok: true as const, user_id: memberId, created: isNew }
      })
    },
  )
}

/** @throws AppError 400 unless exactly one of both is sent */
function readPerson(body: Static<typeof NewProjectMemberBody>): PersonName {
  const { user_id: userId, email, first_name: firstName = '', last_name: lastName = '' } = body
  if (userId !== undefined && email === undefined) return { userId }
  if (email !== undefined && userId === undefined) return { email, firstName, lastName }
  throw errorOf(errors.invalidRequest, { message: 'Send user_id or email, and not both.' })
}
