import type { Cutoff } from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { type FiredThreshold, listFired } from './alerts/alert-store.ts'
import { type AuditEntry, listAuditEntries } from './audit-store.ts'
import type { BudgetParent, CountedBudget, WindowState } from './budget.ts'
import { type BudgetChange, changeBudget, createBudget, deleteBudget } from './budget-change-store.ts'
import { findBudget, listBudgetPage, listBudgetsUnder } from './budget-store.ts'
import { listActiveCutoffs } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { budgetNotFound } from './errors.ts'
import { type GivenUpHold, writeOffHold } from './homes/write-off-store.ts'
import { type LeasePage, readLeasePage } from './lease-page-store.ts'
import { listRaises, type Raise, raiseBudget } from './raise-store.ts'
import { listOpenWindows } from './window-store.ts'

/** A budget with what it has spent now. */
export interface BudgetState {
  budget: CountedBudget
  /** Copies that have spent in the running window. */
  windows: WindowState[]
  /** Active ones, by `cutoffKey`. */
  cutoffs: ReadonlyMap<string, Cutoff>
  /** Raises that stand. */
  raises: Raise[]
  /** What people were told of its running windows. */
  fired: FiredThreshold[]
}

/** Of a store's function, what a route gives it: all but the database. */
export type Rest<Args extends unknown[]> = Args extends [unknown, ...infer Others] ? Others : never

/** What the routes ask of the store. */
export interface BudgetManagement {
  /** Budgets made under these very parents. */
  list: (parents: readonly BudgetParent[], nowMs: number) => Promise<BudgetState[]>
  /** Those of one parent behind an id, which sort by time. */
  listPage: (
    parent: BudgetParent,
    page: { after: string | undefined; limit: number },
    nowMs: number,
  ) => Promise<BudgetState[]>
  /** @throws AppError 404 */
  find: (parent: BudgetParent, budgetId: string, nowMs: number) => Promise<BudgetState>
  create: (...args: Rest<Parameters<typeof createBudget>>) => Promise<CountedBudget>
  change: (...args: Rest<Parameters<typeof changeBudget>>) => Promise<CountedBudget>
  remove: (...args: Rest<Parameters<typeof deleteBudget>>) => Promise<CountedBudget>
  raise: (...args: Rest<Parameters<typeof raiseBudget>>) => Promise<CountedBudget>
  /** What gateways hold of a budget. */
  leases: (...args: Rest<Parameters<typeof readLeasePage>>) => Promise<LeasePage>
  audit: (...args: Rest<Parameters<typeof listAuditEntries>>) => Promise<AuditEntry[]>
  /** @throws AppError 404 */
  writeOff: (...args: Rest<Parameters<typeof writeOffHold>>) => Promise<GivenUpHold>
}

/** @param onChange told of each change right after its commit */
export function manageBudgets(
  db: Kysely<BudgetTables>,
  onChange: (change: Omit<BudgetChange, 'budget'>) => void,
): BudgetManagement {
  async function statesOf(budgets: CountedBudget[], nowMs: number): Promise<BudgetState[]> {
    const ids = budgets.map(budget => budget.budget_id)
    const windows = (await listOpenWindows(db, ids, nowMs)).filter(({ window }) => window.startMs <= nowMs)
    const cutoffs = await listActiveCutoffs(db, ids)
    const raises = await listRaises(db, ids, nowMs)
    const fired = await listFired(db, windows)
    return budgets.map(budget => ({
      budget,
      windows: windows.filter(window => window.budgetId === budget.budget_id),
      cutoffs,
      raises: raises.filter(raise => raise.budgetId === budget.budget_id),
      fired: fired.filter(({ budgetId }) => budgetId === budget.budget_id),
    }))
  }
  const told = async (committing: Promise<BudgetChange>): Promise<CountedBudget> => {
    const change = await committing
    onChange(change)
    return change.budget
  }
  return {
    list: async (parents, nowMs) => statesOf(await listBudgetsUnder(db, parents), nowMs),
    listPage: async (parent, page, nowMs) => statesOf(await listBudgetPage(db, parent, page), nowMs),
    find: async (parent, budgetId, nowMs) => {
      const budget = await findBudget(db, parent, budgetId)
      const [state] = budget ? await statesOf([budget], nowMs) : []
      if (!state) throw budgetNotFound()
      return state
    },
    create: (...args) => told(createBudget(db, ...args)),
    change: (...args) => told(changeBudget(db, ...args)),
    remove: (...args) => told(deleteBudget(db, ...args)),
    raise: (...args) => told(raiseBudget(db, ...args)),
    leases: (...args) => readLeasePage(db, ...args),
    audit: (...args) => listAuditEntries(db, ...args),
    writeOff: async (parent, hold, given) => {
      const givenUp = await writeOffHold(db, parent, hold, given)
      onChange({ cutoffs: [], copies: [{ budgetId: hold.budgetId, copy: givenUp.copy }], recall: undefined })
      return givenUp
    },
  }
}
