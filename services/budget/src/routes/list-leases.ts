import { checkOf, Type } from '@sluice/contracts'
import {
  ContinuationToken,
  continuationToken,
  PageQuery,
  readPage,
  responses,
  sizeForOlderClients,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { formatAmount } from '../amount.ts'
import type { BudgetRouteDeps } from '../app.ts'
import type { LeasePlace } from '../lease-page-store.ts'
import type { BudgetPlace } from './budget-place.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })

const Holdings = Type.Object({
  gateways: Type.Array(
    Type.Object({
      gateway_id: Type.String(),
      epoch: Type.Integer(),
      copy: Type.String(),
      window_started_at: Type.String(),
      leases: Type.Integer(),
      granted: Type.String(),
      settled: Type.String(),
      held: Type.String(),
      silent: Type.Boolean(),
      heard_at: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
  unresolved: Type.Array(
    Type.Object({
      lease_id: Type.String(),
      /** `*`: all that a silent gateway may have used of the lease. */
      attempt_id: Type.String(),
      gateway_id: Type.String(),
      copy: Type.String(),
      window_started_at: Type.String(),
      amount: Type.String(),
      since: Type.String(),
    }),
  ),
  given_up: Type.Array(
    Type.Object({ at: Type.String(), action: Type.String(), by: Type.String(), note: Type.Unknown() }),
  ),
  continuation_token: ContinuationToken,
})

const Place = checkOf(
  Type.Object({
    gateways: Type.Union([Type.String(), Type.Null()]),
    unresolved: Type.Union([Type.Tuple([Type.Integer(), Type.String(), Type.String()]), Type.Null()]),
  }),
)

export function listLeasesRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.get<{ Params: { id: string }; Querystring: Static<typeof Query> }>(
    `${place.path}/:id/leases`,
    {
      config: { access: place.reads },
      schema: {
        summary: place.words('List what gateways hold of a budget, and what is unresolved'),
        description:
          'Each page has up to page_size runs of gateways and as many unresolved holds, the oldest first; the first one has the latest 100 that were given up, too: the audit lists have all of those.',
        querystring: Query,
        response: responses({ 200: Holdings }),
      },
    },
    async request => {
      const parent = place.parentOf(request, deps)
      const { id } = request.params
      const { budget } = await deps.budgets.find(parent, id, deps.now())
      const list = `leases ${id}`
      const { after, limit } = readPage(list, request.query, sizeForOlderClients, text => readPlace(text) !== undefined)
      const page = { after: after === undefined ? undefined : readPlace(after), limit }
      const { gateways, unresolved, givenUp, next } = await deps.budgets.leases(id, page)
      const amount = (value: bigint) => formatAmount(budget.unit, value)
      return {
        gateways: gateways.map(holding => ({
          gateway_id: holding.gatewayId,
          epoch: holding.epoch,
          copy: holding.copy,
          window_started_at: toIso(holding.windowStartMs),
          leases: holding.leases,
          granted: amount(holding.granted),
          settled: amount(holding.settled),
          held: amount(holding.outstanding),
          silent: holding.isSilent,
          heard_at: holding.heardAtMs === undefined ? null : toIso(holding.heardAtMs),
        })),
        unresolved: unresolved.map(hold => ({
          lease_id: hold.leaseId,
          attempt_id: hold.attemptId,
          gateway_id: hold.gatewayId,
          copy: hold.copy,
          window_started_at: toIso(hold.windowStartMs),
          amount: amount(hold.amount),
          since: toIso(hold.sinceMs),
        })),
        given_up: givenUp.map(({ atMs, action, by, note }) => ({ at: toIso(atMs), action, by, note })),
        continuation_token: next ? continuationToken(list, JSON.stringify(next)) : null,
      }
    },
  )
}

function readPlace(text: string): LeasePlace | undefined {
  try {
    const place: unknown = JSON.parse(text)
    return Place.matches(place) ? place : undefined
  } catch {
    return undefined
  }
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
