import { AsyncLocalStorage } from 'node:async_hooks'
import { Readable } from 'node:stream'
import { Type } from '@sluice/contracts'
import { errorOf, readPage, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { callerOf } from '../access.ts'
import type { AppDeps } from '../app.ts'
import { type AuditFilter, listAudit } from '../audit-store.ts'
import { errors } from '../errors.ts'
import { auditTrail, verifyAccount } from '../verify-audit-trail.ts'
import { AuditPage, AuditQuery, toAuditFilter } from './audit-schemas.ts'
import { responses } from './route-schemas.ts'

type Query = Static<typeof AuditQuery>

const Verdict = Type.Object({
  entries: Type.Integer(),
  first_broken: Type.Union([Type.Integer(), Type.Null()]),
  hash: Type.String(),
})
const Lines = Type.String({ description: 'One entry a line, with the chain, in its order' })

/** Who changed what: of a project for who may read that, of an account for its administrators. */
export function registerAudit(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: { pid: string }; Querystring: Query }>(
    '/accounts/projects/:pid/audit',
    {
      config: { access: 'audit:read' },
      schema: {
        summary: 'List who changed what in a project',
        querystring: AuditQuery,
        response: responses({ 200: AuditPage }),
      },
    },
    request => {
      const { pid } = request.params
      return pageOf(deps, toAuditFilter(request.query, callerOf(request).principal.accountId, pid), request.query)
    },
  )
  app.get<{ Querystring: Query }>(
    '/accounts/audit',
    {
      config: { access: 'account-admin' },
      schema: {
        summary: 'List who changed what in the account',
        querystring: AuditQuery,
        response: responses({ 200: AuditPage }),
      },
    },
    request =>
      pageOf(deps, toAuditFilter(request.query, callerOf(request).principal.accountId, undefined), request.query),
  )
  app.get(
    '/accounts/audit/export',
    {
      config: { access: 'account-admin' },
      schema: {
        summary: 'Export the audit trail of the account',
        produces: 'application/x-ndjson',
        response: responses({ 200: Lines }),
      },
    },
    (request, reply) => {
      const trail = auditTrail(deps.db, callerOf(request).principal.accountId)
      const next = AsyncLocalStorage.bind(() => trail.next())
      async function* lines() {
        for (let page = await next(); !page.done; page = await next())
          yield page.value.map(entry => `${JSON.stringify(entry)}\n`).join('')
      }
      return reply.type('application/x-ndjson; charset=utf-8').send(Readable.from(lines()))
    },
  )
  app.get(
    '/accounts/audit/verify',
    {
      config: { access: 'account-admin' },
      schema: { summary: 'Follow the audit trail of the account', response: responses({ 200: Verdict }) },
    },
    request => verifyAccount(deps.db, callerOf(request).principal.accountId),
  )
}

async function pageOf(deps: AppDeps, filter: AuditFilter, query: Query): Promise<Static<typeof AuditPage>> {
  const list = `audit ${filter.projectId ?? filter.accountId}`
  const page = readPage(list, query)
  const before = page.after === undefined ? undefined : Number(page.after)
  if (before !== undefined && !Number.isSafeInteger(before))
    throw errorOf(errors.invalidRequest, { message: 'continuation_token is not one of this list.' })
  const rows = await listAudit(deps.db, filter, { before, limit: page.limit + 1 })
  const { items, continuation_token } = toPage(list, page, rows, row => String(row.number))
  return { entries: items, continuation_token }
}
