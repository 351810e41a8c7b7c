import { Id, type Permission, permissions, permissionsOf, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { errors } from '../errors.ts'
import { findMember } from '../member-store.ts'
import { findProjectMember } from '../project-member-store.ts'
import { permissionsOfRelation } from '../relation.ts'
import { responses } from './route-schemas.ts'

const Body = Type.Object(
  {
    subject: Type.Object({ type: Type.Literal('user'), id: Id }, { additionalProperties: false }),
    /** Absent: the project of the path. Nothing else has rights of its own here. */
    resource: Type.Optional(
      Type.Object({ type: Type.Literal('project'), id: Type.String() }, { additionalProperties: false }),
    ),
    /** A role, a bundle or a permission. */
    relation: Type.String({ minLength: 1, maxLength: 64 }),
  },
  { additionalProperties: false },
)
const Response = Type.Object({ allowed: Type.Boolean(), relation: Type.String() })

/** Whether somebody may do in a project what a role, a bundle or a permission says. Others than oneself take `members:write`. */
export function registerTestAccess(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/access::test',
    {
      config: { access: 'project' },
      schema: { summary: 'Ask what somebody may do in a project', body: Body, response: responses({ 200: Response }) },
    },
    async request => {
      const { subject, resource, relation } = request.body
      const { pid } = request.params
      if (resource !== undefined && resource.id !== pid)
        throw errorOf(errors.invalidRequest, { message: 'resource.id is not the project of the path.' })
      const wanted = permissionsOfRelation(relation)
      if (!wanted)
        throw errorOf(errors.invalidRequest, {
          message: `relation is no role, bundle or permission that is known here. Permissions: ${permissions.join(', ')}.`,
        })
      const { principal, permissions: own } = callerOf(request)
      const isSelf = subject.id === 'me' || subject.id === principal.id
      if (!isSelf && !own.has('members:write'))
        throw errorOf(errors.forbidden, { message: 'Only who manages members may ask about others.' })
      const held = isSelf ? own : await permissionsOfMember(deps, principal.accountId, pid, subject.id)
      return { allowed: wanted.every(permission => held.has(permission)), relation }
    },
  )
}

async function permissionsOfMember(
  deps: AppDeps,
  accountId: string,
  projectId: string,
  memberId: string,
): Promise<ReadonlySet<string>> {
  const member = await findMember(deps.db, accountId, memberId)
  if (!member || member.disabled_at) return new Set()
  if (member.account_admin) return new Set<Permission>(permissionsOf('admin', []))
  const row = await findProjectMember(deps.db, projectId, memberId)
  return new Set(row && permissionsOf(row.role, row.roles))
}
