import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, sizeForOlderClients, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, revokerOf } from '../access.ts'
import { findApiKey, listApiKeys } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import { revokeApiKeysFor } from '../change-api-key.ts'
import { createOnce } from '../create-once.ts'
import { notFound } from '../errors.ts'
import { findServiceAccount } from '../service-account-store.ts'
import { ApiKeyResponse, CreatedKey, keyIdOf, newKeyFields, readNewKey, toApiKeyResponse } from './api-key-schemas.ts'
import { isUuid, NoContent, responses } from './route-schemas.ts'
import { type ServiceAccountParams, ServiceAccountsPath } from './service-account-schemas.ts'

const path = `${ServiceAccountsPath}/:sid/api-keys`
const Body = Type.Object(newKeyFields, { additionalProperties: false })
const Query = Type.Object(PageQuery, { additionalProperties: false })
const Response = Type.Object({ continuation_token: ContinuationToken, keys: Type.Array(ApiKeyResponse) })

/** The keys of a service account, where newer clients look for keys. */
export function registerServiceAccountApiKeys(app: FastifyInstance, deps: AppDeps): void {
  const access = 'keys:write' as const
  const idOf = async ({ pid, sid }: ServiceAccountParams): Promise<string> => {
    const account = await findServiceAccount(deps.db, pid, sid)
    if (!account) throw notFound()
    return account.service_account_id
  }
  app.get<{ Params: ServiceAccountParams; Querystring: Static<typeof Query> }>(
    path,
    {
      config: { access },
      schema: { summary: 'List keys of a service account', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const serviceAccountId = await idOf(request.params)
      const list = `keys ${serviceAccountId}`
      const page = readPage(list, request.query, sizeForOlderClients, isUuid)
      const at = new Date(deps.now())
      const options = { serviceAccountId, at, after: page.after, limit: page.limit + 1 }
      const rows = await listApiKeys(deps.db, request.params.pid, options)
      const { items, continuation_token } = toPage(list, page, rows, row => row.key_id)
      return { continuation_token, keys: items.map(toApiKeyResponse) }
    },
  )
  app.post<{ Params: ServiceAccountParams; Body: Static<typeof Body> }>(
    path,
    {
      config: { access, idempotent: true },
      schema: {
        summary: 'Create a key of a service account',
        example: { name: 'nightly', models: ['openai/*'] },
        body: Body,
        response: responses({ 200: CreatedKey }),
      },
    },
    async request => {
      const { pid: projectId, sid: serviceAccountId } = request.params
      const owner = { projectId, memberId: null, serviceAccountId }
      return createOnce(deps, request, readNewKey(deps, request, request.body, owner))
    },
  )
  app.delete<{ Params: ServiceAccountParams & { id: string } }>(
    `${path}/:id`,
    {
      config: { access },
      schema: { summary: 'Revoke a key of a service account', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, id } = request.params
      const keyId = keyIdOf(id)
      const serviceAccountId = await idOf(request.params)
      await deps.changes.make(actorOf(request), async change => {
        const key = await findApiKey(change.trx, pid, keyId, new Date(change.nowMs))
        if (key?.service_account_id !== serviceAccountId) throw notFound()
        await revokeApiKeysFor(change, pid, [keyId], revokerOf(request))
      })
      return reply.code(204).send()
    },
  )
}
