import { isPerChosen, isPlaceless, mostToldApart, otherCopy } from '@sluice/contracts'
import { copyOf, heldIn, spentIn } from './budget.ts'
import type { BudgetState } from './budget-management-store.ts'
import type { Dimensions } from './spend-fact.ts'

/** What a call would use, in each unit. */
export interface PreviewedAmounts {
  usd: bigint
  tokens: bigint
  requests: bigint
  concurrent: bigint
}

/** One budget that a call would meet. */
export interface MetBudget {
  state: BudgetState
  copy: string
  amount: bigint
  left: bigint
  /** Why it says no; undefined: it does not. */
  refuses: 'spent' | 'held' | undefined
}

/**
 * The budgets that a call of these dimensions meets, in the order in which gateways ask them. One whose limit is reached
 * says no, and a hard one where too little is left; alerts never do.
 */
export function previewCall(
  states: readonly BudgetState[],
  dimensions: Dimensions,
  amounts: PreviewedAmounts,
): MetBudget[] {
  return states
    .flatMap((state): MetBudget[] => {
      const { budget, windows } = state
      const said = copyOf(budget, dimensions)
      if (said === undefined || budget.except?.includes(said)) return []
      const copy = isPerChosen(budget) ? toldIn(windows, said) : said
      const window = windows.find(one => one.copy === copy)
      const spent = window ? spentIn(window) : 0n
      const open = BigInt(budget.limit) - spent - (window?.unresolved ?? 0n)
      const left = BigInt(budget.limit) - spent - (window ? heldIn(window) : 0n)
      const amount = amounts[budget.unit]
      return [{ state, copy, amount, left: left > 0n ? left : 0n, refuses: refusalOf(budget.mode, amount, left, open) }]
    })
    .sort((a, b) => (a.state.budget.budget_id < b.state.budget.budget_id ? -1 : 1))
}

/** The copy of a value, as values are told apart in a running window. */
function toldIn(windows: BudgetState['windows'], value: string): string {
  if (isPlaceless(value)) return value
  const own = windows.filter(({ copy }) => !isPlaceless(copy))
  return own.length >= mostToldApart && !own.some(({ copy }) => copy === value) ? otherCopy : value
}

function refusalOf(mode: string, amount: bigint, left: bigint, open: bigint): MetBudget['refuses'] {
  if (mode === 'alert') return undefined
  if (open <= 0n) return 'spent'
  if (mode === 'soft' || left >= amount) return undefined
  return open < amount ? 'spent' : 'held'
}
