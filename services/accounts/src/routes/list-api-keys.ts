import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, sizeForOlderClients, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { findApiKey, listApiKeys } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { notFound } from '../errors.ts'
import { ApiKeyResponse, ApiKeysPath, keyIdOf, toApiKeyResponse } from './api-key-schemas.ts'
import { isUuid, responses } from './route-schemas.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({ continuation_token: ContinuationToken, keys: Type.Array(ApiKeyResponse) })

/** The keys of a project that are not revoked, all of them or one. Their values are never shown again. */
export function registerListApiKeys(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    ApiKeysPath,
    {
      config: { access: 'keys:write' },
      schema: { summary: 'List keys', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const page = readPage(`keys ${pid}`, request.query, sizeForOlderClients, isUuid)
      const at = new Date(deps.now())
      const rows = await listApiKeys(deps.db, pid, { at, after: page.after, limit: page.limit + 1 })
      const { items, continuation_token } = toPage(`keys ${pid}`, page, rows, row => row.key_id)
      return { continuation_token, keys: items.map(toApiKeyResponse) }
    },
  )
  app.get<{ Params: { pid: string; id: string } }>(
    `${ApiKeysPath}/:id`,
    {
      config: { access: 'keys:write' },
      schema: { summary: 'Get one key', response: responses({ 200: ApiKeyResponse }) },
    },
    async request => {
      const key = await findApiKey(deps.db, request.params.pid, keyIdOf(request.params.id), new Date(deps.now()))
      if (!key) throw notFound()
      return toApiKeyResponse(key)
    },
  )
}
