import { type BudgetWindow, otherCopy } from '@sluice/contracts'
import { type MatchedBudget, sharesValue } from './budget-index.ts'
import type { Hold, TightestBudget } from './met-budgets.ts'

/** The same budgets, where a copy has turned out to be that of all others. Of a batch, more than one model may share it. */
export function withOther(budgets: readonly MatchedBudget[], own: MatchedBudget): MatchedBudget[] {
  return uniteCopies(budgets.map(each => (each === own ? { ...own, copy: otherCopy } : each)))
}

/** Each copy once, with all that is said of it. */
export function uniteCopies(budgets: readonly MatchedBudget[]): MatchedBudget[] {
  const united = new Map<string, MatchedBudget>()
  for (const each of budgets) {
    const key = `${each.budget.budget_id} ${each.copy}`
    const known = united.get(key)
    united.set(key, known?.said && each.said ? { ...known, said: unite(known.said, each.said) } : (known ?? each))
  }
  return [...united.values()]
}

type Said = NonNullable<MatchedBudget['said']>

function unite(one: Said, other: Said): Said {
  return { atMs: one.atMs, values: [...new Set([...one.values, ...other.values])] }
}

/**
 * What a call that is paid counts in: the copies that have paid for it, whatever is known of its values now.
 * @param paid in the order of its hard budgets, or fewer
 */
export function holdOfPaid(
  hold: Hold,
  paid: readonly MatchedBudget[],
  findWindow: (matched: MatchedBudget) => BudgetWindow,
): Hold {
  if (paid === hold.hard || !hold.hard.some(({ said }) => said !== undefined)) return hold
  const moved = new Map<MatchedBudget, MatchedBudget>()
  for (const each of hold.hard) {
    const payer = each.said && paid.find(one => sharesValue(one, each))
    if (payer && payer.copy !== each.copy) moved.set(each, payer)
  }
  if (moved.size === 0) return hold
  const known = new Map(hold.budgets.map((each, at) => [each, hold.windows[at]]))
  const budgets = uniteCopies(hold.budgets.map(each => moved.get(each) ?? each))
  const windows = budgets.map(each => known.get(each) ?? findWindow(each))
  const hard = uniteCopies(hold.hard.map(each => moved.get(each) ?? each))
  return { ...hold, budgets, windows, hard, tightest: tightestOf(hold.tightest, budgets, windows, moved) }
}

/** The same budget, by the copy that counts. */
function tightestOf(
  tightest: TightestBudget | undefined,
  budgets: readonly MatchedBudget[],
  windows: readonly BudgetWindow[],
  moved: ReadonlyMap<MatchedBudget, MatchedBudget>,
): TightestBudget | undefined {
  const payer = [...moved.values()].find(({ budget }) => budget === tightest?.budget)
  if (!payer) return tightest
  const window = windows[budgets.findIndex(each => each.budget === payer.budget && each.copy === payer.copy)]
  return {
    budget: payer.budget,
    spent: window?.spent ?? 0,
    held: window?.held ?? 0,
    resetsAtMs: window?.window_end_ms,
  }
}
