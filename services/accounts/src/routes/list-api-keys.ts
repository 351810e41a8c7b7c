import { Role, Type } from '@sluice/contracts'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { listApiKeys } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { ContinuationToken, PageQuery, readPage, sizeForOlderClients, toPage } from '../page.ts'
import { responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({
  continuation_token: ContinuationToken,
  keys: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      description: Type.String(),
      role: Role,
      team_id: Type.Union([Type.String(), Type.Null()]),
      member_id: Type.Union([Type.String(), Type.Null()]),
      service_account_id: Type.Union([Type.String(), Type.Null()]),
      models: Type.Union([Type.Array(Type.String()), Type.Null()]),
      created_by: Type.String(),
      created_at: Type.String(),
      expires_at: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
})

/** Lists the keys of a project that are not revoked. Their values are never shown again. */
export function registerListApiKeys(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/api-keys',
    {
      config: { access: 'keys:write' },
      schema: { summary: 'List keys', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const page = readPage(`keys ${pid}`, request.query, sizeForOlderClients)
      const rows = await listApiKeys(deps.db, pid, { after: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(`keys ${pid}`, page, rows, row => row.key_id)
      return {
        continuation_token,
        keys: items.map(({ key_id, created_at, expires_at, ...key }) => ({
          id: key_id,
          ...key,
          created_at: created_at.toISOString(),
          expires_at: expires_at?.toISOString() ?? null,
        })),
      }
    },
  )
}
