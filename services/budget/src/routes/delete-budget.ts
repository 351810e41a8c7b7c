import { Type } from '@sluice/contracts'
import { principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'

export function deleteBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.delete<{ Params: { pid: string; id: string } }>(
    '/accounts/projects/:pid/budgets/:id',
    {
      config: { access: 'budgets:write' },
      schema: { summary: 'Delete a budget', response: responses({ 204: Type.Null() }) },
    },
    async (request, reply) => {
      const { pid, id } = request.params
      const { kind, id: by } = principalOf(request)
      await deps.budgets.remove(pid, id, { kind, id: by }, deps.now())
      return reply.code(204).send()
    },
  )
}
