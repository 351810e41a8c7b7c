import { type Budget, isPerChosen, isPlaceless } from '@sluice/contracts'
import type { createWindowFinder, PoolName } from '@sluice/leases'

/** Says which pool follows another one, as its budget stands now. */
export function nextWindowOf(
  findBudget: (budgetId: string) => Budget | undefined,
  findWindow: ReturnType<typeof createWindowFinder>,
): (pool: PoolName) => PoolName | undefined {
  return pool => {
    const { budgetId, copy, windowEndMs, home, isConcurrent } = pool
    const budget = findBudget(budgetId)
    if (windowEndMs === undefined || budget?.mode !== 'hard') return undefined
    // Whether a value has a copy then, nobody knows before that window has begun.
    if (isPerChosen(budget) && !isPlaceless(copy)) return undefined
    const { startMs, endMs } = findWindow(budget.window, budget.time_zone, windowEndMs)
    return { budgetId, copy, windowStartMs: startMs, windowEndMs: endMs, home, isConcurrent }
  }
}
