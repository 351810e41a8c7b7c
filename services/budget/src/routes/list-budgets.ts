import { Type } from '@sluice/contracts'
import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'

const List = Type.Object({ budgets: Type.Array(BudgetAnswer) })

export function listBudgetsRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/budgets',
    {
      config: { access: 'usage:read' },
      schema: { summary: 'List budgets with what is spent and left', response: responses({ 200: List }) },
    },
    async request => {
      const nowMs = deps.now()
      const states = await deps.budgets.list(request.params.pid, nowMs)
      return { budgets: states.map(state => toAnswer(state, nowMs)) }
    },
  )
}
