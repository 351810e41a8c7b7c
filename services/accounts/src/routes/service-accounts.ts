import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { actorOf, callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { changeServiceAccount, createServiceAccount, disableServiceAccount } from '../change-service-account.ts'
import { createOnce } from '../create-once.ts'
import { notFound } from '../errors.ts'
import { findServiceAccount, listServiceAccounts } from '../service-account-store.ts'
import { NoContent, responses } from './route-schemas.ts'
import {
  ServiceAccountBody,
  type ServiceAccountParams,
  ServiceAccountResponse,
  ServiceAccountsPath,
  toServiceAccountResponse,
  toServiceAccountSettings,
} from './service-account-schemas.ts'

const Query = Type.Object(
  {
    ...PageQuery,
    /** Part of a name. */
    filter: Type.Optional(Type.String({ maxLength: 256 })),
    /** Those that are disabled too. */
    disabled: Type.Optional(Type.Boolean()),
    /** Newer clients send it; there is one view. */
    view: Type.Optional(Type.String({ maxLength: 32 })),
  },
  { additionalProperties: false },
)
const Response = Type.Object({
  service_accounts: Type.Array(ServiceAccountResponse),
  continuation_token: ContinuationToken,
})

/** The programs of a project that own keys, each by its id or its name. */
export function registerServiceAccounts(app: FastifyInstance, deps: AppDeps): void {
  const access = 'keys:write' as const
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    ServiceAccountsPath,
    {
      config: { access },
      schema: { summary: 'List service accounts', querystring: Query, response: responses({ 200: Response }) },
    },
    async request => {
      const { pid } = request.params
      const { filter, disabled } = request.query
      const page = readPage(`service-accounts ${pid}`, request.query)
      const rows = await listServiceAccounts(deps.db, pid, {
        text: filter || undefined,
        withDisabled: disabled ?? false,
        after: page.after,
        limit: page.limit + 1,
      })
      const read = toPage(`service-accounts ${pid}`, page, rows, row => row.service_account_id)
      return {
        service_accounts: read.items.map(toServiceAccountResponse),
        continuation_token: read.continuation_token,
      }
    },
  )
  app.post<{ Params: { pid: string }; Body: Static<typeof ServiceAccountBody> }>(
    ServiceAccountsPath,
    {
      config: { access, idempotent: true },
      schema: {
        summary: 'Create a service account',
        example: { name: 'ci', description: 'Builds and reviews', team_id: 'team_01' },
        body: ServiceAccountBody,
        response: responses({ 200: ServiceAccountResponse }),
      },
    },
    async request => {
      const { pid } = request.params
      const wanted = toServiceAccountSettings(request.body)
      const { id } = callerOf(request).principal
      return createOnce(deps, request, async change =>
        toServiceAccountResponse(await createServiceAccount(change, pid, wanted, id)),
      )
    },
  )
  app.get<{ Params: ServiceAccountParams }>(
    `${ServiceAccountsPath}/:sid`,
    {
      config: { access },
      schema: { summary: 'Get one service account', response: responses({ 200: ServiceAccountResponse }) },
    },
    async request => {
      const account = await findServiceAccount(deps.db, request.params.pid, request.params.sid)
      if (!account) throw notFound()
      return toServiceAccountResponse(account)
    },
  )
  app.put<{ Params: ServiceAccountParams; Body: Static<typeof ServiceAccountBody> }>(
    `${ServiceAccountsPath}/:sid`,
    {
      config: { access },
      schema: {
        summary: 'Replace a service account',
        body: ServiceAccountBody,
        response: responses({ 200: ServiceAccountResponse }),
      },
    },
    async request => {
      const { pid, sid } = request.params
      const wanted = toServiceAccountSettings(request.body)
      return deps.changes.make(actorOf(request), async change =>
        toServiceAccountResponse(await changeServiceAccount(change, pid, sid, wanted)),
      )
    },
  )
  app.delete<{ Params: ServiceAccountParams }>(
    `${ServiceAccountsPath}/:sid`,
    {
      config: { access },
      schema: { summary: 'Disable a service account for good', response: responses({ 204: NoContent }) },
    },
    async (request, reply) => {
      const { pid, sid } = request.params
      await deps.changes.make(actorOf(request), change => disableServiceAccount(change, pid, sid))
      return reply.code(204).send()
    },
  )
}
