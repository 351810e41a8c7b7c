import { Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { billingErrors } from '../errors.ts'
import type { Reconciliation } from '../reconciliation.ts'
import type { UsageHourStore } from '../usage-hour-store.ts'

interface Deps {
  reconcile: (fromMs: number, toMs: number) => Promise<Reconciliation>
  hours: Pick<UsageHourStore, 'listUnbalanced'>
  /** The end of the last hour that is over for good. */
  closedUntil: () => number
}

const time = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }))
const Query = Type.Object({ start: time, end: time }, { additionalProperties: false })

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const mostDays = 31

/**
 * Of the operator port, `GET /reconciliation?start&end`: the sums of ledger, ClickHouse and budgets in these hours of
 * admission, and every project's hour in which one differs. Default: the last 24 closed hours.
 */
export function reconciliation(app: FastifyInstance, deps: Deps): void {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/reconciliation',
    { schema: { querystring: Query } },
    async request => {
      const toMs = readHour(request.query.end) ?? deps.closedUntil()
      const fromMs = readHour(request.query.start) ?? toMs - dayMs
      if (fromMs >= toMs || toMs - fromMs > mostDays * dayMs) throw errorOf(billingErrors.invalidSpan)
      const result = await deps.reconcile(fromMs, toMs)
      const unbalanced = await deps.hours.listUnbalanced()
      return {
        ...result,
        equal: result.equal && unbalanced.length === 0,
        unbalanced_projects: unbalanced.map(({ projectId, hours, balance }) => ({
          project_id: projectId,
          hours_nano_usd: String(hours),
          balance_nano_usd: String(balance),
        })),
      }
    },
  )
}

function readHour(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms) || ms < 0 || ms % hourMs !== 0) throw errorOf(billingErrors.invalidSpan)
  return ms
}
