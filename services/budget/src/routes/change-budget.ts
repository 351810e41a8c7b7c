import { budgetModes, lineOfText, Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { BudgetRouteDeps } from '../app.ts'
import { BudgetAnswer, toAnswer } from '../budget-answer.ts'
import { errors } from '../errors.ts'
import { readLimit } from '../limit-input.ts'

/** Unit, window, scope and time zone of a budget never change: that is a new budget. */
export const ChangeBudgetBody = Type.Object(
  {
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: lineOfText })),
    limit: Type.Optional(Type.String({ maxLength: 32 })),
    limit_nano_usd: Type.Optional(Type.Integer({ minimum: 1 })),
    mode: Type.Optional(Type.Enum([...budgetModes])),
  },
  { additionalProperties: false },
)

const changes = [
  ['PATCH', 'Change what is named of a budget'],
  ['PUT', 'Change a budget'],
] as const

export function changeBudgetRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  for (const [method, summary] of changes)
    app.route<{ Params: { pid: string; id: string }; Body: Static<typeof ChangeBudgetBody> }>({
      method,
      url: '/accounts/projects/:pid/budgets/:id',
      config: { access: 'budgets:write' },
      schema: { summary, body: ChangeBudgetBody, response: responses({ 200: BudgetAnswer }) },
      handler: async request => {
        const nowMs = deps.now()
        const { pid, id } = request.params
        const principal = principalOf(request)
        const { name, mode } = request.body
        if (mode === 'hard') throw errorOf(errors.needsLeases)
        const { budget } = await deps.budgets.find(pid, id, nowMs)
        const limit = readLimit(budget.unit, request.body)
        if (name === undefined && mode === undefined && limit === undefined) throw errorOf(errors.nothingToChange)
        const change = {
          ...(name === undefined ? {} : { name }),
          ...(mode === undefined ? {} : { mode }),
          ...(limit === undefined ? {} : { limit }),
        }
        await deps.budgets.change(pid, id, change, { kind: principal.kind, id: principal.id }, nowMs)
        return toAnswer(await deps.budgets.find(pid, id, nowMs), nowMs)
      },
    })
}
