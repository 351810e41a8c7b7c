import { Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery, readPage, responses, toPage } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import type { BudgetPlace } from './budget-place.ts'

const Query = Type.Object(PageQuery, { additionalProperties: false })
const List = Type.Object({ budgets: Type.Array(BudgetAnswer), continuation_token: ContinuationToken })

export function listBudgetsRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.get<{ Querystring: Static<typeof Query> }>(
    place.path,
    {
      config: { access: place.reads },
      schema: {
        summary: place.words('List budgets with what is spent and left'),
        querystring: Query,
        response: responses({ 200: List }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const parent = place.parentOf(request, deps)
      const list = `budgets ${parent.projectId ?? parent.accountId}`
      const page = readPage(list, request.query)
      const states = await deps.budgets.listPage(parent, { after: page.after, limit: page.limit + 1 }, nowMs)
      const { items, continuation_token } = toPage(list, page, states, ({ budget }) => budget.budget_id)
      return { continuation_token, budgets: items.map(state => toAnswer(state, nowMs)) }
    },
  )
}
