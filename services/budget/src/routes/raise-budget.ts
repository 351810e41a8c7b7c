import { linesOfText, Type } from '@sluice/contracts'
import { errorOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import { errors } from '../errors.ts'
import { AmountInput, readAmount, requireRaisable } from '../limit-input.ts'
import { actorOf, type BudgetPlace, makingOf } from './budget-place.ts'

export const RaiseBudgetBody = Type.Object(
  {
    amount: AmountInput,
    until: Type.String({ maxLength: 40 }),
    reason: Type.String({ minLength: 1, maxLength: 500, pattern: linesOfText }),
  },
  { additionalProperties: false },
)

/** A raise is for a time: what is to last is a limit. */
export const longestRaiseMs = 366 * 24 * 60 * 60_000

export function raiseBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps, place: BudgetPlace): void {
  app.post<{ Params: { id: string }; Body: Static<typeof RaiseBudgetBody> }>(
    `${place.path}/:id/raises`,
    {
      config: { access: place.writes, idempotent: true },
      schema: {
        summary: place.words('Raise the limit of a budget until a time'),
        example: { amount: '100', until: '2027-01-31T23:00:00Z', reason: 'The launch' },
        body: RaiseBudgetBody,
        response: responses({ 201: BudgetAnswer }),
      },
    },
    async (request, reply) => {
      const nowMs = deps.now()
      const parent = place.parentOf(request, deps)
      const { id } = request.params
      const { amount, until, reason } = request.body
      const untilMs = Date.parse(until)
      if (!(untilMs > nowMs && untilMs <= nowMs + longestRaiseMs)) throw errorOf(errors.invalidUntil)
      const { budget } = await deps.budgets.find(parent, id, nowMs)
      const read = readAmount(budget.unit, 'amount', amount)
      const raise = {
        raiseId: deps.newRaiseId(),
        budgetId: id,
        amount: read,
        untilMs,
        reason,
        by: actorOf(request),
        createdAtMs: nowMs,
      }
      const check = ({ limit }: { limit: number }) => requireRaisable(budget.unit, limit, read)
      await deps.budgets.raise(parent, raise, check, makingOf(request))
      return reply.code(201).send(toAnswer(await deps.budgets.find(parent, id, nowMs), nowMs))
    },
  )
}
