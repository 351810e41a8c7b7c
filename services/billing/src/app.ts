import { createRestApp, guardByViews, type Logger, type RestCredentialViews, serveOpenApi } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { LedgerStore } from './ledger-store.ts'
import type { PriceBookStore } from './price-book-store.ts'
import type { PriceBookPublisher } from './price-books.ts'
import { credits } from './routes/credits.ts'
import { getBalance } from './routes/get-balance.ts'
import { getPricing } from './routes/get-pricing.ts'
import { listTransactions } from './routes/list-transactions.ts'
import { projectPriceBook } from './routes/project-price-book.ts'
import { subscription } from './routes/subscription.ts'

export interface BillingDeps {
  credentials: RestCredentialViews
  ledger: LedgerStore
  priceBooks: PriceBookStore
  listCredits: Parameters<typeof credits>[1]['listCredits']
  postCredit: Parameters<typeof credits>[1]['postCredit']
  findPrepaid: Parameters<typeof getBalance>[1]['findPrepaid']
  setPrepaid: Parameters<typeof getBalance>[1]['setPrepaid']
  publisher: PriceBookPublisher
  /** Told right after a commit: something is to be sent. */
  onChange: () => void
  nowMs: () => number
  /** Ranges of the gateways' addresses. */
  trustedProxies: readonly string[]
  log: Logger
}

export function buildApp(deps: BillingDeps): FastifyInstance {
  const app = createRestApp(deps.log, deps.trustedProxies)
  guardByViews(app, { views: deps.credentials, nowMs: deps.nowMs })
  serveOpenApi(app, '/api/openapi/billing.json', 'Sluice billing')
  getPricing(app, deps)
  getBalance(app, deps)
  listTransactions(app, deps)
  projectPriceBook(app, deps)
  credits(app, deps)
  subscription(app)
  return app
}
