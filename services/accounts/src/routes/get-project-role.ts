import { Role, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { callerOf, roleOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { findDefaultTeam, listTeamsOfMember } from '../team-member-store.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({
  role: Role,
  can_use_llm_proxy: Type.Boolean(),
  can_create_rooms: Type.Boolean(),
  permissions: Type.Array(Type.String()),
  /** Teams that may pay for the caller's calls, and the one that does where none is named. */
  team_ids: Type.Array(Type.String()),
  default_team_id: Type.Union([Type.String(), Type.Null()]),
})

/** The caller's own role in a project, and what they may do there. */
export function registerGetProjectRole(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/role',
    {
      config: { access: 'project' },
      schema: { summary: 'Ask what one may do in a project', response: responses({ 200: Response }) },
    },
    async request => {
      const { principal, permissions } = callerOf(request)
      const { pid } = request.params
      const isMember = principal.kind === 'member'
      return {
        role: roleOf(request),
        can_use_llm_proxy: permissions.has('llm:invoke'),
        can_create_rooms: permissions.has('rooms:write'),
        permissions: [...permissions],
        team_ids: isMember ? await listTeamsOfMember(deps.db, pid, principal.id) : [],
        default_team_id: isMember ? await findDefaultTeam(deps.db, pid, principal.id) : null,
      }
    },
  )
}
