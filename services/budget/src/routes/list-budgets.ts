import { Type } from '@sluice/contracts'
import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import type { BudgetPlace } from './budget-place.ts'

const List = Type.Object({ budgets: Type.Array(BudgetAnswer) })

export function listBudgetsRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.get(
    place.path,
    {
      config: { access: place.reads },
      schema: { summary: 'List budgets with what is spent and left', response: responses({ 200: List }) },
    },
    async request => {
      const nowMs = deps.now()
      const states = await deps.budgets.list([place.parentOf(request, deps)], nowMs)
      return { budgets: states.map(state => toAnswer(state, nowMs)) }
    },
  )
}
