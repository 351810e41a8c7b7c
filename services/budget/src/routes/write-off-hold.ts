import { linesOfText, Type } from '@sluice/contracts'
import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { formatAmount } from '../amount.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { actorOf, type BudgetPlace } from './budget-place.ts'

export const WriteOffBody = Type.Object(
  { reason: Type.String({ minLength: 1, maxLength: 500, pattern: linesOfText }) },
  { additionalProperties: false },
)

const WrittenOff = Type.Object({ lease_id: Type.String(), attempt_id: Type.String(), amount: Type.String() })

export function writeOffHoldRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.post<{ Params: { id: string; lease: string; attempt: string }; Body: Static<typeof WriteOffBody> }>(
    `${place.path}/:id/unresolved/:lease/:attempt/write-off`,
    {
      config: { access: place.writes },
      schema: {
        summary: place.words('Give up an unresolved hold: what it may have used is free again'),
        body: WriteOffBody,
        response: responses({ 200: WrittenOff }),
      },
    },
    async request => {
      const nowMs = deps.now()
      const parent = place.parentOf(request, deps)
      const { id, lease, attempt } = request.params
      const { budget } = await deps.budgets.find(parent, id, nowMs)
      const given = await deps.budgets.writeOff(
        parent,
        { budgetId: id, leaseId: lease, attemptId: attempt },
        { actor: actorOf(request), reason: request.body.reason, nowMs },
      )
      return {
        lease_id: given.leaseId,
        attempt_id: given.attemptId,
        amount: formatAmount(budget.unit, BigInt(given.amount)),
      }
    },
  )
}
