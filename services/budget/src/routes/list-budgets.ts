import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { authorize } from '../authorize.ts'
import { toAnswer } from '../budget-answer.ts'

export function listBudgetsRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.get<{ Params: { pid: string } }>('/accounts/projects/:pid/budgets', async request => {
    const nowMs = deps.now()
    authorize(deps.views, request, request.params.pid, 'usage:read', nowMs)
    const states = await deps.budgets.list(request.params.pid, nowMs)
    return { budgets: states.map(state => toAnswer(state, nowMs)) }
  })
}
