import { createRestApp, guardByViews, type Logger, type RestCredentialViews, serveOpenApi } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { BudgetManagement } from './budget-management-store.ts'
import { changeBudgetRoute } from './routes/change-budget.ts'
import { createBudgetRoute } from './routes/create-budget.ts'
import { deleteBudgetRoute } from './routes/delete-budget.ts'
import { getBudgetRoute } from './routes/get-budget.ts'
import { listBudgetsRoute } from './routes/list-budgets.ts'
import { listLeasesRoute } from './routes/list-leases.ts'
import { previewCallRoute } from './routes/preview-call.ts'
import { raiseBudgetRoute } from './routes/raise-budget.ts'
import { writeOffHoldRoute } from './routes/write-off-hold.ts'

export interface BudgetRouteDeps {
  budgets: BudgetManagement
  views: RestCredentialViews
  newBudgetId: () => string
  newRaiseId: () => string
  now: () => number
  /** Ranges of the gateways' addresses. */
  trustedProxies: readonly string[]
}

/** The management routes. Opens nothing, listens to nothing. */
export function buildApp(deps: BudgetRouteDeps, log: Logger): FastifyInstance {
  const app = createRestApp(log, deps.trustedProxies)
  guardByViews(app, { views: deps.views, nowMs: deps.now })
  serveOpenApi(app, '/api/openapi/budget.json', 'Sluice budget')
  createBudgetRoute(app, deps)
  listBudgetsRoute(app, deps)
  getBudgetRoute(app, deps)
  changeBudgetRoute(app, deps)
  deleteBudgetRoute(app, deps)
  raiseBudgetRoute(app, deps)
  listLeasesRoute(app, deps)
  writeOffHoldRoute(app, deps)
  previewCallRoute(app, deps)
  return app
}
