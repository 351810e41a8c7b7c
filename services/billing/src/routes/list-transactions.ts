import { Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { billingErrors } from '../errors.ts'
import type { LedgerStore, LedgerTransaction } from '../ledger-store.ts'
import { UsdNumber, usdNumber } from '../usd-text.ts'

interface Deps {
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
})

const querystring = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 }, before: { type: 'string' } },
} as const

/** `GET /accounts/projects/{pid}/transactions`: what was posted, newest first; `before` turns the page. */
export function listTransactions(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string }; Querystring: { limit: number; before?: string } }>(
    '/accounts/projects/:pid/transactions',
    {
      config: { access: 'billing:read' },
      schema: { summary: 'List what was posted to a project', querystring, response: responses({ 200: List }) },
    },
    async request => {
      const principal = principalOf(request)
      const { before, limit } = request.query
      if (before !== undefined && !/^\d{1,18}$/.test(before)) throw errorOf(billingErrors.invalidCursor)
      const rows = await deps.ledger.listTransactions({
        projectId: request.params.pid,
        accountId: principal.accountId,
        before: before === undefined ? undefined : BigInt(before),
        limit,
      })
      return {
        transactions: rows.map(row => ({
          id: row.transactionId,
          amount: usdNumber(-row.chargeNanoUsd),
          amount_nano_usd: String(-row.chargeNanoUsd),
          cost_nano_usd: String(row.costNanoUsd),
          referenceType: row.adjusts === undefined ? 'usage' : 'adjustment',
          reference: row.adjusts ?? row.transactionId,
          description: describe(row),
          created_at: row.postedAt.toISOString(),
        })),
      }
    },
  )
}

function describe(row: LedgerTransaction): string {
  if (row.adjusts !== undefined) return 'Correction of 1 call'
  return row.eventCount === 1 ? 'Usage: 1 call' : `Usage: ${row.eventCount} calls`
}
