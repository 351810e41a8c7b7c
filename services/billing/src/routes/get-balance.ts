import { authenticateRest, type RestCredentialViews, requirePermission } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { LedgerStore } from '../ledger-store.ts'
import { usdNumber } from '../usd-text.ts'

interface Deps {
  credentials: RestCredentialViews
  ledger: LedgerStore
  nowMs: () => number
}

/** `GET /accounts/projects/{pid}/balance`: what is left of the project's credit; below zero it is what the project owes. */
export function getBalance(app: FastifyInstance, deps: Deps): void {
  app.get<{ Params: { pid: string } }>('/accounts/projects/:pid/balance', async request => {
    const principal = authenticateRest(deps.credentials, request, deps.nowMs())
    requirePermission(deps.credentials, principal, request.params.pid, 'billing:read')
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
  })
}
