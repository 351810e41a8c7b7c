import type { Budget, CallIdentity, Cutoff } from '@sluice/contracts'
import type { MatchedBudget } from './budget-index.ts'
import { formatAmount } from './format-amount.ts'
import { Refusal, type RefusalBudget } from './refusal.ts'
import type { BudgetsView } from './views/budgets-view.ts'

/** What admission found: every budget the call counts against. Hard budgets will set money aside here. */
export interface Hold {
  budgets: readonly MatchedBudget[]
  /** Some budget is above 80 %: settlements are published at once. */
  urgent: boolean
  /** The budget with the smallest part left, for the answer's headers. */
  tightest: TightestBudget | undefined
}

export interface TightestBudget {
  budget: Budget
  spent: number
  held: number
  resetsAtMs: number | undefined
}

const nothingHeld: Hold = { budgets: [], urgent: false, tightest: undefined }

/**
 * Meets every matching budget, from memory; the first that is spent refuses.
 * @throws Refusal `budget_spent`, naming the budget
 */
export function holdBudget(
  view: BudgetsView,
  identity: CallIdentity,
  provider: string,
  model: string,
  nowMs: number,
): Hold {
  const budgets = view.match(identity, provider, model)
  if (budgets.length === 0) return nothingHeld
  let urgent = false
  let tightest: TightestBudget | undefined
  let smallestShare = Number.POSITIVE_INFINITY
  for (const { budget, copy } of budgets) {
    const cutoff = view.findCutoff(budget.budget_id, copy, nowMs)
    if (cutoff) throw refusalOfCutoff(cutoff, budget.scope)
    const window = view.findWindow(budget.budget_id, copy, nowMs)
    const spent = window?.spent ?? 0
    // A share for the order and the threshold only; no amount is computed from it.
    const share = budget.limit === 0 ? 0 : (budget.limit - spent) / budget.limit
    if (share < 0.2) urgent = true
    if (share < smallestShare) {
      smallestShare = share
      tightest = { budget, spent, held: window?.held ?? 0, resetsAtMs: window?.window_end_ms }
    }
  }
  return { budgets, urgent, tightest }
}

/** The no of a cutoff, for a call before it or in it. */
export function refusalOfCutoff(cutoff: Cutoff, scope: Budget['scope']): Refusal {
  if (cutoff.reason === 'stopped_by_admin') {
    return new Refusal(
      'stopped_by_admin',
      `Calls under "${cutoff.name}" were stopped by an admin. Ask them to lift the stop.`,
    )
  }
  const budget: RefusalBudget = {
    budget_id: cutoff.budget_id,
    name: cutoff.name,
    copy: cutoff.copy,
    scope,
    unit: cutoff.unit as Budget['unit'],
    limit: cutoff.limit,
    spent: cutoff.spent,
    window: cutoff.window,
    resets_at_ms: cutoff.until_ms,
  }
  return new Refusal('budget_spent', budgetMessage(budget), { budget })
}

function budgetMessage(budget: RefusalBudget): string {
  const sign = budget.unit === 'usd' ? '$' : ''
  const unit = budget.unit === 'usd' ? '' : ` ${budget.unit}`
  const amount = (value: number) => `${sign}${formatAmount(value, budget.unit)}${unit}`
  const resets =
    budget.resets_at_ms === undefined
      ? 'It does not reset by itself.'
      : `It resets at ${new Date(budget.resets_at_ms).toISOString()}.`
  const copy = budget.copy === '' ? '' : ` for ${budget.copy}`
  // MeshAgent's clients know a final "no money" by the words "out of credits".
  return `Budget "${budget.name}"${copy} is spent: ${amount(budget.spent)} of ${amount(budget.limit)} (${budget.window}), so this call is out of credits. ${resets} Ask its owner to raise it.`
}
