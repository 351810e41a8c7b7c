import type { CredentialsView } from '@sluice/bus'
import type { MetBudgets, MetBudgetsRequest } from '@sluice/contracts'
import { createRestApp, guardByViews, type Logger, serveOpenApi } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { RecentCalls } from './recent-calls.ts'
import type { RefusedRowStore } from './refused-row-store.ts'
import { getCall } from './routes/get-call.ts'
import { getOwnUsage } from './routes/get-own-usage.ts'
import { getUsage } from './routes/get-usage.ts'
import { listUsageEvents } from './routes/list-usage-events.ts'
import type { UsageRowStore } from './usage-row-store.ts'
import type { UsageSumStore } from './usage-sum-store.ts'

export interface AppDeps {
  credentials: CredentialsView
  rows: UsageRowStore
  sums: UsageSumStore
  refused: RefusedRowStore
  recent: RecentCalls
  /** Of the budget service. */
  askMetBudgets: (request: MetBudgetsRequest) => Promise<MetBudgets>
  now: () => number
  /** Ranges of the gateways' addresses. */
  trustedProxies: readonly string[]
  logger: Logger
}

/** The public routes. Opens nothing. */
export function buildApp(deps: AppDeps): FastifyInstance {
  const app = createRestApp(deps.logger, deps.trustedProxies)
  guardByViews(app, { views: deps.credentials, nowMs: deps.now })
  serveOpenApi(app, '/api/openapi/analytics.json', 'Sluice analytics')
  getUsage(app, deps)
  getOwnUsage(app, deps)
  listUsageEvents(app, deps)
  getCall(app, deps)
  return app
}
