import { type Permission, Role, rolePermissions } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { roleOf } from '../access.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({ role: Role, can_use_llm_proxy: Type.Boolean() })

/** The caller's own role in a project. */
export function registerGetProjectRole(app: FastifyInstance): void {
  app.get(
    '/accounts/projects/:pid/role',
    { config: { access: 'project' }, schema: { response: responses({ 200: Response }) } },
    async request => {
      const role = roleOf(request)
      const permissions: readonly Permission[] = rolePermissions[role]
      return { role, can_use_llm_proxy: permissions.includes('llm:invoke') }
    },
  )
}
