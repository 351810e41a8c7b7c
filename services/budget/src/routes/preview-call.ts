import { Type } from '@sluice/contracts'
import { principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { formatAmount } from '../amount.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { AmountInput, readAmount } from '../limit-input.ts'
import { previewCall } from '../preview.ts'
import { DimensionValue, scopeMembers } from './scope-members.ts'

const count = Type.Integer({ minimum: 0 })

export const PreviewBody = Type.Object(
  {
    dimensions: Type.Optional(
      Type.Object(
        {
          ...scopeMembers,
          tags: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), DimensionValue)),
        },
        { additionalProperties: false },
      ),
    ),
    /** What the call is bounded by; absent: nothing of it, and one request. */
    amounts: Type.Optional(
      Type.Object(
        {
          usd: Type.Optional(AmountInput),
          tokens: Type.Optional(count),
          requests: Type.Optional(count),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
)

const Preview = Type.Object({
  /** The first one that says no; null: the call is admitted. */
  refused_by: Type.Union([Type.String(), Type.Null()]),
  budgets: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      mode: Type.String(),
      unit: Type.String(),
      copy: Type.String(),
      limit: Type.String(),
      amount: Type.String(),
      left: Type.String(),
      refuses: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
})

export function previewCallRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.post<{ Params: { pid: string }; Body: Static<typeof PreviewBody> }>(
    '/accounts/projects/:pid/budgets/preview',
    {
      config: { access: 'usage:read' },
      schema: {
        summary: 'Say which budgets a call would meet, what is left in them, and which says no',
        body: PreviewBody,
        response: responses({ 200: Preview }),
      },
    },
    async request => {
      const { pid } = request.params
      const { dimensions, amounts = {} } = request.body
      const usd = BigInt(readAmount('usd', 'amounts.usd', amounts.usd ?? '0', 0n))
      const accountId = deps.views.accountOfProject(pid) ?? principalOf(request).accountId
      const parents = [
        { accountId, projectId: pid },
        { accountId, projectId: undefined },
      ]
      const states = await deps.budgets.list(parents, deps.now())
      const met = previewCall(
        states,
        { ...dimensions, project: pid, account: accountId },
        { usd, tokens: BigInt(amounts.tokens ?? 0), requests: BigInt(amounts.requests ?? 1), concurrent: 1n },
      )
      return {
        refused_by: met.find(({ refuses }) => refuses)?.state.budget.budget_id ?? null,
        budgets: met.map(({ state: { budget }, copy, amount, left, refuses }) => ({
          id: budget.budget_id,
          name: budget.name,
          mode: budget.mode,
          unit: budget.unit,
          copy,
          limit: formatAmount(budget.unit, BigInt(budget.limit)),
          amount: formatAmount(budget.unit, amount),
          left: formatAmount(budget.unit, left),
          refuses: refuses ?? null,
        })),
      }
    },
  )
}
