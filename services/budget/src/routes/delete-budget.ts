import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { authorize } from '../authorize.ts'

export function deleteBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.delete<{ Params: { pid: string; id: string } }>('/accounts/projects/:pid/budgets/:id', async (request, reply) => {
    const nowMs = deps.now()
    const { pid, id } = request.params
    const principal = authorize(deps.views, request, pid, 'budgets:write', nowMs)
    await deps.budgets.remove(pid, id, { kind: principal.kind, id: principal.id }, nowMs)
    return reply.code(204).send()
  })
}
