import type { Budget } from '@sluice/contracts'
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
    const { startMs, endMs } = findWindow(budget.window, budget.time_zone, windowEndMs)
    return { budgetId, copy, windowStartMs: startMs, windowEndMs: endMs, home, isConcurrent }
  }
}
