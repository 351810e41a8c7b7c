import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import type { BudgetPlace } from './budget-place.ts'

export function getBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.get<{ Params: { id: string } }>(
    `${place.path}/:id`,
    {
      config: { access: place.reads },
      schema: {
        summary: place.words('Get a budget with what is spent and left'),
        response: responses({ 200: BudgetAnswer }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const parent = place.parentOf(request, deps)
      const { id } = request.params
      return toAnswer(await deps.budgets.find(parent, id, nowMs), nowMs)
    },
  )
}
