import { Type } from '@sluice/contracts'
import {
  ContinuationToken,
  errorOf,
  PageQuery,
  principalOf,
  type RestCredentialViews,
  readPage,
  responses,
  toPage,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { billingErrors } from '../errors.ts'
import type { LedgerStore, LedgerTransaction } from '../ledger-store.ts'
import { UsdNumber, usdNumber } from '../usd-text.ts'

interface Deps {
  credentials: RestCredentialViews
  ledger: LedgerStore
}

const List = Type.Object({
  transactions: Type.Array(
    Type.Object({
      id: Type.String(),
      amount: UsdNumber,
      amount_nano_usd: Type.String(),
      cost_nano_usd: Type.String(),
      referenceType: Type.String(),
      reference: Type.String(),
      description: Type.String(),
      created_at: Type.String(),
    }),
  ),
  continuation_token: ContinuationToken,
})

const Query = Type.Object(
  {
    ...PageQuery,
    /** As older clients ask for pages: so many, posted before one. */
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    before: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$' })),
  },
  { additionalProperties: false },
)
const isTransactionId = (text: string) => /^\d{1,18}$/.test(text)

/** `GET /accounts/projects/{pid}/transactions`: what was posted, newest first. */
export function listTransactions(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string }; Querystring: Static<typeof Query> }>(
    '/accounts/projects/:pid/transactions',
    {
      config: { access: 'billing:read', operators: true },
      schema: { summary: 'List what was posted to a project', querystring: Query, response: responses({ 200: List }) },
    },
    async request => {
      const principal = principalOf(request)
      const { pid: projectId } = request.params
      const { before, limit, continuation_token: token } = request.query
      if (token !== undefined && before !== undefined) throw errorOf(billingErrors.invalidCursor)
      const list = `transactions ${projectId}`
      const asked = readPage(list, request.query, 100, isTransactionId)
      const page = { after: asked.after ?? before, limit: limit ?? asked.limit }
      const rows = await deps.ledger.listTransactions({
        projectId,
        accountId: deps.credentials.accountOfProject(projectId) ?? principal.accountId,
        before: page.after === undefined ? undefined : BigInt(page.after),
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage(list, page, rows, row => row.transactionId)
      return {
        continuation_token,
        transactions: items.map(row => ({
          id: row.transactionId,
          amount: usdNumber(-row.chargeNanoUsd),
          amount_nano_usd: String(-row.chargeNanoUsd),
          cost_nano_usd: String(row.costNanoUsd),
          referenceType: row.kind,
          reference: row.adjusts ?? row.transactionId,
          description: describe(row),
          created_at: row.postedAt.toISOString(),
        })),
      }
    },
  )
}

function describe(row: LedgerTransaction): string {
  if (row.kind === 'credit') return row.chargeNanoUsd < 0n ? 'Credit' : 'Credit taken back'
  if (row.kind === 'adjustment') return 'Correction of 1 call'
  return row.eventCount === 1 ? 'Usage: 1 call' : `Usage: ${row.eventCount} calls`
}
