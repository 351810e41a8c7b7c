import { Role, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import { listApiKeys } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { responses } from './route-schemas.ts'

const Response = Type.Object({
  keys: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      description: Type.String(),
      role: Role,
      team_id: Type.Union([Type.String(), Type.Null()]),
      member_id: Type.Union([Type.String(), Type.Null()]),
      models: Type.Union([Type.Array(Type.String()), Type.Null()]),
      created_by: Type.String(),
      created_at: Type.String(),
      expires_at: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
})

/** Lists the keys of a project that are not revoked. Their values are never shown again. */
export function registerListApiKeys(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/api-keys',
    { config: { access: 'keys:write' }, schema: { response: responses({ 200: Response }) } },
    async request => {
      const keys = await listApiKeys(deps.db, request.params.pid)
      return {
        keys: keys.map(({ key_id, created_at, expires_at, ...key }) => ({
          id: key_id,
          ...key,
          created_at: created_at.toISOString(),
          expires_at: expires_at?.toISOString() ?? null,
        })),
      }
    },
  )
}
