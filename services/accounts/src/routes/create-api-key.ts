import { Id, linesOfText, Role, rolePermissions, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import { requireWithin } from '../api-key.ts'
import type { AppDeps } from '../app.ts'
import { createApiKey } from '../create-api-key.ts'
import { createOnce } from '../create-once.ts'
import { errors } from '../errors.ts'
import { DisplayName, ModelPattern, responses } from './route-schemas.ts'

const Body = Type.Object(
  {
    name: DisplayName,
    description: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 1024, pattern: linesOfText })])),
    role: Type.Optional(Role),
    models: Type.Optional(Type.Union([Type.Null(), Type.Array(ModelPattern, { maxItems: 1000 })])),
    team_id: Type.Optional(Type.Union([Type.Null(), Id])),
    /** A member of the project: budgets of and per member count the key's calls. */
    member_id: Type.Optional(Type.Union([Type.Null(), Id])),
    /** RFC 3339. */
    expires_at: Type.Optional(Type.Union([Type.Null(), Type.String({ format: 'date-time' })])),
  },
  { additionalProperties: false },
)
const Response = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  value: Type.String(),
})

/** Makes a key and shows its value, this once. */
export function registerCreateApiKey(app: FastifyInstance, deps: AppDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof Body> }>(
    '/accounts/projects/:pid/api-keys',
    {
      config: { access: 'keys:write', idempotent: true },
      schema: { summary: 'Create a key', body: Body, response: responses({ 200: Response }) },
    },
    async request => {
      const { name, description, role = 'developer', models = null, expires_at = null } = request.body
      const { team_id = null, member_id = null } = request.body
      const expiresAt = expires_at === null ? null : new Date(expires_at)
      if (expiresAt && !(expiresAt.getTime() > deps.now()))
        throw errorOf(errors.invalidRequest, { message: 'expires_at must be a time in the future.' })

      const { key, principal, permissions } = callerOf(request)
      requireWithin(
        { permissions: rolePermissions[role], models: models ?? undefined, expiresAtMs: expiresAt?.getTime() },
        { permissions, models: key?.models, expiresAtMs: key?.expires_at_ms },
      )
      return createOnce(deps, request, async change => {
        const { keyId, value } = await createApiKey(change, deps.box, {
          projectId: request.params.pid,
          teamId: team_id,
          memberId: member_id,
          serviceAccountId: null,
          name,
          description: description ?? '',
          role,
          models,
          expiresAt,
          createdBy: principal.id,
        })
        return { id: keyId, name, description: description ?? '', value }
      })
    },
  )
}
