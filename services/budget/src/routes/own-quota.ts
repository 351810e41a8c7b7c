import { Type } from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { credentialOf, hashCredential, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { formatAmount } from '../amount.ts'
import type { BudgetRouteDeps } from '../app.ts'
import { type Owner, ownBudgets } from '../own-budgets.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])
/** USD as a JSON number, digit for digit. Without a type: a serialiser for numbers would take it through a float. */
const Usd = Type.Unsafe<unknown>({ description: 'USD, exact to the nano-dollar' })

const Quota = Type.Object({
  project_id: Type.String(),
  subject_type: Type.Enum(['user', 'service_account', 'key']),
  subject_id: Type.String(),
  /** Whether there is one; else quota and balance are null, and nothing of it is spent. */
  enabled: Type.Boolean(),
  monthly_quota: Usd,
  spent: Usd,
  balance: Usd,
  resets_at: Type.String(),
  /** All that are one's own, the one with the least left first. */
  budgets: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      mode: Type.String(),
      unit: Type.String(),
      window: Type.String(),
      limit: Type.String(),
      spent: Type.String(),
      held: Type.String(),
      left: Type.String(),
      resets_at: NullableString,
    }),
  ),
})

/** What somebody may still spend, for whoever may call models: they need not see what others spend for that. */
export function ownQuotaRoute(app: FastifyInstance, deps: BudgetRouteDeps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/llm-proxy/quota',
    {
      config: { access: 'llm:invoke' },
      schema: { summary: 'Ask what one may still spend', response: responses({ 200: Quota }) },
    },
    async request => {
      const { pid: projectId } = request.params
      const nowMs = deps.now()
      const accountId = deps.views.accountOfProject(projectId) ?? principalOf(request).accountId
      const owner = ownerOf(request, deps)
      const parents = [
        { accountId, projectId },
        { accountId, projectId: undefined },
      ]
      const own = ownBudgets(await deps.budgets.list(parents, nowMs), { accountId, projectId }, owner)
      const monthly = own.find(
        ({ budget: { unit, window, mode } }) => unit === 'usd' && window === 'month' && mode !== 'alert',
      )
      return {
        project_id: projectId,
        subject_type: owner.type === 'member' ? ('user' as const) : owner.type,
        subject_id: owner.id,
        enabled: monthly !== undefined,
        monthly_quota: monthly ? usd(BigInt(monthly.budget.limit)) : null,
        spent: usd(monthly?.spent ?? 0n),
        balance: monthly ? usd(monthly.left) : null,
        resets_at: endOf('month', monthly?.budget.time_zone ?? 'UTC', nowMs) ?? '',
        budgets: own.map(({ budget, spent, held, left }) => ({
          id: budget.budget_id,
          name: budget.name,
          mode: budget.mode,
          unit: budget.unit,
          window: budget.window,
          limit: formatAmount(budget.unit, BigInt(budget.limit)),
          spent: formatAmount(budget.unit, spent),
          held: formatAmount(budget.unit, held),
          left: formatAmount(budget.unit, left),
          resets_at: endOf(budget.window, budget.time_zone, nowMs) ?? null,
        })),
      }
    },
  )
}

/** Whose the calls are that a caller makes with what they have sent. */
function ownerOf(request: FastifyRequest, { views }: BudgetRouteDeps): Owner {
  const { kind, id } = principalOf(request)
  if (kind === 'member') return { type: 'member', id, teamIds: [] }
  const key = views.findKeyByHash(hashCredential(credentialOf(request) ?? ''))
  const teamIds = [...(key?.team_id === undefined ? (key?.member_team_ids ?? []) : [key.team_id])]
  if (key?.member_id !== undefined) return { type: 'member', id: key.member_id, teamIds }
  if (key?.service_account_id !== undefined) return { type: 'service_account', id: key.service_account_id, teamIds }
  return { type: 'key', id, teamIds }
}

function endOf(window: Parameters<typeof windowAt>[0], timeZone: string, nowMs: number): string | undefined {
  const { endMs } = windowAt(window, timeZone, nowMs)
  return endMs === undefined ? undefined : new Date(endMs).toISOString()
}

function usd(nanoUsd: bigint): unknown {
  return (JSON as typeof JSON & { rawJSON: (text: string) => unknown }).rawJSON(formatAmount('usd', nanoUsd))
}
