import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { authorize } from '../authorize.ts'
import { toAnswer } from '../budget-answer.ts'

export function getBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.get<{ Params: { pid: string; id: string } }>('/accounts/projects/:pid/budgets/:id', async request => {
    const nowMs = deps.now()
    const { pid, id } = request.params
    authorize(deps.views, request, pid, 'usage:read', nowMs)
    return toAnswer(await deps.budgets.find(pid, id, nowMs), nowMs)
  })
}
