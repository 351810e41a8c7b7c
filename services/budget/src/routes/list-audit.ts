import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import type { BudgetPlace } from './budget-place.ts'

const Query = Type.Object(
  { ...PageQuery, budget: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })) },
  { additionalProperties: false },
)
const Page = Type.Object({
  entries: Type.Array(
    Type.Object({
      id: Type.String(),
      at: Type.String(),
      /** A member, a key, or a service by its name. */
      by: Type.String(),
      from_address: Type.Union([Type.String(), Type.Null()]),
      user_agent: Type.Union([Type.String(), Type.Null()]),
      /** Null: a destination of alerts was changed. */
      budget_id: Type.Union([Type.String(), Type.Null()]),
      destination_id: Type.Union([Type.String(), Type.Null()]),
      action: Type.String(),
      before: Type.Unknown(),
      after: Type.Unknown(),
    }),
  ),
  continuation_token: ContinuationToken,
})

const isEntryId = (text: string): boolean => /^\d{1,18}$/.test(text)

/** Who changed which budget, raised it, or gave up what it held. Budgets that are deleted have theirs for good. */
export function listAuditRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.get<{ Querystring: Static<typeof Query> }>(
    `${place.path}/audit`,
    {
      config: { access: place.audits },
      schema: {
        summary: place.words('List who changed budgets'),
        querystring: Query,
        response: responses({ 200: Page }),
      },
    },
    async request => {
      const page = readPage('budget-audit', request.query, 50, isEntryId)
      const rows = await deps.budgets.audit(place.parentOf(request, deps), {
        budgetId: request.query.budget,
        afterId: page.after,
        limit: page.limit + 1,
      })
      const { items, continuation_token } = toPage('budget-audit', page, rows, ({ id }) => id)
      const entries = items.map(
        ({ id, atMs, actor, fromAddress, userAgent, budgetId, destinationId, action, before, after }) => ({
          id,
          at: new Date(atMs).toISOString(),
          by: actor,
          from_address: fromAddress,
          user_agent: userAgent,
          budget_id: budgetId,
          destination_id: destinationId,
          action,
          before: before ?? null,
          after: after ?? null,
        }),
      )
      return { entries, continuation_token }
    },
  )
}
