import { type Budget, claimedScopeDimensions, isPerChosen } from '@sluice/contracts'
import type { CountedBudget } from './budget.ts'

/** What calls claim, which nothing that bounds them may depend on. */
const claimed: ReadonlySet<string> = new Set([...claimedScopeDimensions, 'tag'])
const strictness: Record<Budget['mode'], number> = { alert: 0, soft: 1, hard: 2 }

/**
 * Budgets with copies for what callers choose that no shared one bounds: whoever invents values would spend a thousand limits in each
 * window. A shared one is of the same unit, at least as strict, has no copies, and counts every call that the other counts, whatever
 * that call claims.
 * @param budgets all of one parent
 */
export function unboundedBudgets(budgets: readonly CountedBudget[]): CountedBudget[] {
  return budgets.filter(each => isPerChosen(each) && !budgets.some(shared => isAbove(shared, each)))
}

function isAbove(shared: CountedBudget, { unit, mode, scope }: CountedBudget): boolean {
  if (shared.per !== undefined || shared.unit !== unit || strictness[shared.mode] < strictness[mode]) return false
  return Object.entries(shared.scope).every(
    ([name, value]) => value === undefined || (!claimed.has(name) && scope[name as keyof Budget['scope']] === value),
  )
}
