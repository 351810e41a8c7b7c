import type { Budget } from '@sluice/contracts'
import type { LeaseRow } from './hold.ts'
import type { JournaledHold } from './journaled-leases.ts'

/** A budget that money is held of. */
export interface HeldBudget {
  budget: Pick<Budget, 'budget_id' | 'unit' | 'hold'>
  copy: string
}

/** What an attempt holds, of one lease of each of its budgets, when its OPEN is written. It does not change. */
export class HeldRow {
  readonly row: LeaseRow
  /** By lease. */
  readonly amounts: readonly number[]
  readonly #budgets: readonly HeldBudget[]

  /** @param budgets in the order of the leases */
  constructor(row: LeaseRow, amounts: readonly number[], budgets: readonly HeldBudget[]) {
    this.row = row
    this.amounts = amounts
    this.#budgets = budgets
  }

  /** As an OPEN says it in full. */
  get holds(): JournaledHold[] {
    const { pools, leases } = this.row
    return this.#budgets.map(({ budget, copy }, at) => {
      const lease = leases[at]
      const hold: JournaledHold = {
        budget_id: budget.budget_id,
        copy,
        window_start_ms: pools[at]?.windowStartMs ?? 0,
        unit: budget.unit,
        parts: lease ? [[lease.leaseId, this.amounts[at] ?? 0]] : [],
      }
      if (budget.hold === 'exact') hold.exact = true
      return hold
    })
  }
}
