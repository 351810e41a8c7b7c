import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'

export function getBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.get<{ Params: { pid: string; id: string } }>(
    '/accounts/projects/:pid/budgets/:id',
    {
      config: { access: 'usage:read' },
      schema: { summary: 'Get a budget with what is spent and left', response: responses({ 200: BudgetAnswer }) },
    },
    async request => {
      const nowMs = deps.now()
      const { pid, id } = request.params
      return toAnswer(await deps.budgets.find(pid, id, nowMs), nowMs)
    },
  )
}
