import { Type } from '@sluice/contracts'
import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import { actorOf, type BudgetPlace } from './budget-place.ts'

export function deleteBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.delete<{ Params: { id: string } }>(
    `${place.path}/:id`,
    {
      config: { access: place.writes },
      schema: { summary: place.words('Delete a budget'), response: responses({ 204: Type.Null() }) },
    },
    async (request, reply) => {
      const parent = place.parentOf(request, deps)
      const { id } = request.params
      await deps.budgets.remove(parent, id, actorOf(request), deps.now())
      return reply.code(204).send()
    },
  )
}
