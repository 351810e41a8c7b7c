import { Role, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { callerOf, roleOf } from '../access.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({
  role: Role,
  can_use_llm_proxy: Type.Boolean(),
  can_create_rooms: Type.Boolean(),
  permissions: Type.Array(Type.String()),
})

/** The caller's own role in a project, and what they may do there. */
export function registerGetProjectRole(app: FastifyInstance): void {
  app.get(
    '/accounts/projects/:pid/role',
    { config: { access: 'project' }, schema: { response: responses({ 200: Response }) } },
    async request => {
      const { permissions } = callerOf(request)
      return {
        role: roleOf(request),
        can_use_llm_proxy: permissions.has('llm:invoke'),
        can_create_rooms: permissions.has('rooms:write'),
        permissions: [...permissions],
      }
    },
  )
}
