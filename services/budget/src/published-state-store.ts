import { cutoffKey } from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { listAllBudgets, toDocument } from './budget-store.ts'
import { listListedCutoffs } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { listBalanceStops } from './project-balance-store.ts'
import type { PublishedState } from './state-publisher.ts'
import { listStandingStops } from './stop-store.ts'
import { toWindowDocument } from './window-document.ts'
import { listWindowsToPublish } from './window-store.ts'

/** What gateways must see, all of it. */
export async function readPublishedState(db: Kysely<BudgetTables>, nowMs: number): Promise<PublishedState> {
  const budgets = (await listAllBudgets(db)).map(toDocument)
  const windows = (await listWindowsToPublish(db, nowMs)).map(toWindowDocument)
  return {
    budgets: new Map(budgets.map(budget => [budget.budget_id, budget])),
    cutoffs: await listListedCutoffs(db),
    windows: new Map(windows.map(window => [cutoffKey(window.budget_id, window.copy), window])),
    stops: new Map([...(await listStandingStops(db)), ...(await listBalanceStops(db))]),
  }
}
