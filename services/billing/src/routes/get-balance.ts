import { Type } from '@sluice/contracts'
import { responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { LedgerStore } from '../ledger-store.ts'
import { UsdNumber, usdNumber } from '../usd-text.ts'

interface Deps {
  ledger: LedgerStore
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
})

/** `GET /accounts/projects/{pid}/balance`: what is left of the project's credit; below zero it is what the project owes. */
export function getBalance(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string } }>(
    '/accounts/projects/:pid/balance',
    {
      config: { access: 'billing:read' },
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
      }
    },
  )
}
