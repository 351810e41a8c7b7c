import { Type } from '@sluice/contracts'
import { type RestCredentialViews, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Author } from '../audit-trail-store.ts'
import type { LedgerStore } from '../ledger-store.ts'
import { UsdNumber, usdNumber } from '../usd-text.ts'
import { requireOperator } from './credits.ts'

interface Deps {
  credentials: RestCredentialViews
  ledger: LedgerStore
  findPrepaid: (projectId: string) => Promise<{ prepaid: boolean; exhausted: boolean }>
  setPrepaid: (project: { projectId: string; accountId: string }, prepaid: boolean, by: Author) => Promise<void>
}

const Response = Type.Object({
  balance: UsdNumber,
  balance_nano_usd: Type.String(),
  cost_nano_usd: Type.String(),
  auto_recharge_threshold: Type.Null(),
  auto_recharge_amount: Type.Null(),
  last_recharge: Type.Null(),
  monthly_budget: Type.Null(),
  auto_recharge_paused: Type.Boolean(),
  /** Whether it may spend what it has been credited, and no more. */
  prepaid: Type.Boolean(),
  /** Prepaid, and nothing is left: its calls are refused. */
  exhausted: Type.Boolean(),
})
const Change = Type.Object({ prepaid: Type.Boolean() }, { additionalProperties: false })

/** `GET /accounts/projects/{pid}/balance`: what is left of the project's credit; below zero it is what the project owes. */
export function getBalance(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/balance',
    {
      config: { access: 'billing:read', operators: true },
      schema: { summary: 'Get the balance of a project', response: responses({ 200: Response }) },
    },
    async request => {
      const { chargedNanoUsd, costNanoUsd } = await deps.ledger.findBalance(request.params.pid)
      return {
        balance: usdNumber(-chargedNanoUsd),
        balance_nano_usd: String(-chargedNanoUsd),
        cost_nano_usd: String(costNanoUsd),
        auto_recharge_threshold: null,
        auto_recharge_amount: null,
        last_recharge: null,
        monthly_budget: null,
        auto_recharge_paused: false,
        ...(await deps.findPrepaid(request.params.pid)),
      }
    },
  )

  app.patch<{ Params: { pid: string }; Body: { prepaid: boolean } }>(
    '/accounts/projects/:pid/balance',
    {
      config: { access: 'billing:write', operators: true },
      schema: {
        summary: 'Make a project prepaid, or no longer, as an operator of the installation',
        body: Change,
        response: responses({ 204: Type.Null() }),
      },
    },
    async (request, reply) => {
      const { pid: projectId } = request.params
      const by = requireOperator(deps.credentials, request, projectId)
      await deps.setPrepaid({ projectId, accountId: by.accountId }, request.body.prepaid, by)
      return reply.code(204).send()
    },
  )
}
