import {
  createRestApp,
  guardByViews,
  type Logger,
  type ProveParticipant,
  type RestCredentialViews,
  type SecretBox,
  serveOpenApi,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { AlertManagement } from './alerts/alert-management.ts'
import type { BudgetManagement } from './budget-management-store.ts'
import type { DecisionBell } from './decision-bell.ts'
import type { MoreRequestManagement } from './more-request-store.ts'
import type { QuotaManagement } from './quota-store.ts'
import { alertDestinationRoutes } from './routes/alert-destinations.ts'
import { alertRoutes } from './routes/alerts.ts'
import { askForMoreRoutes } from './routes/ask-for-more.ts'
import { budgetPlaces } from './routes/budget-place.ts'
import { changeBudgetRoute } from './routes/change-budget.ts'
import { createBudgetRoute } from './routes/create-budget.ts'
import { decideRequestRoutes } from './routes/decide-requests.ts'
import { deleteBudgetRoute } from './routes/delete-budget.ts'
import { getBudgetRoute } from './routes/get-budget.ts'
import { listAuditRoute } from './routes/list-audit.ts'
import { listBudgetsRoute } from './routes/list-budgets.ts'
import { listLeasesRoute } from './routes/list-leases.ts'
import { llmQuotaRoutes } from './routes/llm-quotas.ts'
import { ownQuotaRoute } from './routes/own-quota.ts'
import { previewCallRoute } from './routes/preview-call.ts'
import { raiseBudgetRoute } from './routes/raise-budget.ts'
import { stopRoutes } from './routes/stops.ts'
import { writeOffHoldRoute } from './routes/write-off-hold.ts'
import type { StopManagement } from './stop-store.ts'

export interface BudgetRouteDeps {
  budgets: BudgetManagement
  stops: StopManagement
  moreRequests: MoreRequestManagement
  quotas: QuotaManagement
  decisions: DecisionBell
  alerts: AlertManagement
  views: RestCredentialViews
  /** Asks accounts who a participant token speaks for. */
  prove: ProveParticipant
  newBudgetId: () => string
  newRaiseId: () => string
  newStopId: () => string
  newRequestId: () => string
  newDestinationId: () => string
  /** Seals the secrets of webhooks; undefined: there are none here. */
  secretBox: SecretBox | undefined
  sendsMail: boolean
  /** Webhooks may be on addresses of this network. */
  allowPrivateUpstreams: boolean
  /** As callers know this installation; undefined: they are told paths alone. */
  publicOrigin: string | undefined
  now: () => number
  /** Ranges of the gateways' addresses. */
  trustedProxies: readonly string[]
}

/** The management routes. Opens nothing, listens to nothing. */
export function buildApp(deps: BudgetRouteDeps, log: Logger): FastifyInstance {
  const app = createRestApp(log, deps.trustedProxies)
  guardByViews(app, { views: deps.views, prove: deps.prove, nowMs: deps.now })
  serveOpenApi(app, '/api/openapi/budget.json', 'Sluice budget')
  for (const place of budgetPlaces) {
    createBudgetRoute(app, deps, place)
    listBudgetsRoute(app, deps, place)
    getBudgetRoute(app, deps, place)
    changeBudgetRoute(app, deps, place)
    deleteBudgetRoute(app, deps, place)
    raiseBudgetRoute(app, deps, place)
    listLeasesRoute(app, deps, place)
    writeOffHoldRoute(app, deps, place)
    listAuditRoute(app, deps, place)
    decideRequestRoutes(app, deps, place)
    alertRoutes(app, deps, place)
    alertDestinationRoutes(app, deps, place)
  }
  previewCallRoute(app, deps)
  ownQuotaRoute(app, deps)
  stopRoutes(app, deps)
  askForMoreRoutes(app, deps)
  llmQuotaRoutes(app, deps)
  return app
}
