import type { Budget, BudgetWindow, CallIdentity, ClaimedDimensions, Cutoff, Stop } from '@sluice/contracts'
import type { MatchedBudget } from './budget-index.ts'
import { formatAmount } from './format-amount.ts'
import { isRateLimit, refusalOfRate } from './rate-limit.ts'
import { Refusal, type RefusalBudget } from './refusal.ts'
import type { BudgetsView } from './views/budgets-view.ts'

/** What admission found: every budget the call counts against. */
export interface Hold {
  budgets: readonly MatchedBudget[]
  /** What each of them has used, as far as this gateway knows; in their order. */
  windows: readonly (BudgetWindow | undefined)[]
  /** Some of them are rate limits. */
  hasRates: boolean
  /** Those of which money is held before the call leaves, in the order of their ids. */
  hard: readonly MatchedBudget[]
  /** Some budget is above 80 %: settlements are published at once. */
  urgent: boolean
  /** The budget with the smallest part left, for the answer's headers. */
  tightest: TightestBudget | undefined
  /** Of a batch: by budget and copy, the models whose requests count in it, where not all of them do. */
  modelsOf?: (matched: MatchedBudget) => readonly string[] | undefined
}

export interface TightestBudget {
  budget: Budget
  spent: number
  held: number
  resetsAtMs: number | undefined
}

export const nothingHeld: Hold = {
  budgets: [],
  windows: [],
  hasRates: false,
  hard: [],
  urgent: false,
  tightest: undefined,
}

/**
 * Meets every matching budget, from memory; the first that is spent refuses.
 * @throws Refusal `budget_spent` or `rate_limited`, naming the budget; `stopped_by_admin`
 */
export function holdBudget(
  view: BudgetsView,
  identity: CallIdentity,
  provider: string,
  model: string,
  claimed: ClaimedDimensions,
  nowMs: number,
): Hold {
  const stop = view.findStop(identity, claimed)
  if (stop) throw refusalOfStop(stop)
  const budgets = view.match(identity, provider, model, claimed)
  if (budgets.length === 0) return nothingHeld
  const windows: (BudgetWindow | undefined)[] = []
  let urgent = false
  let hasRates = false
  let hard: MatchedBudget[] | undefined
  let tightest: TightestBudget | undefined
  let smallestShare = Number.POSITIVE_INFINITY
  for (const matched of budgets) {
    const { budget, copy } = matched
    if (budget.mode === 'hard') {
      if (hard) hard.push(matched)
      else hard = [matched]
    }
    const cutoff = view.findCutoff(budget.budget_id, copy, nowMs)
    if (cutoff) throw refusalOfCutoff(cutoff, budget.scope)
    const window = view.findWindow(budget.budget_id, copy, nowMs)
    windows.push(window)
    if (isRateLimit(budget)) hasRates = true
    const spent = window?.spent ?? 0
    // A share for the order and the threshold only; no amount is computed from it.
    const share = budget.limit === 0 ? 0 : (budget.limit - spent) / budget.limit
    if (share < 0.2) urgent = true
    if (share < smallestShare) {
      smallestShare = share
      tightest = { budget, spent, held: window?.held ?? 0, resetsAtMs: window?.window_end_ms }
    }
  }
  if (hard && !isSorted(hard)) hard.sort((a, b) => (a.budget.budget_id < b.budget.budget_id ? -1 : 1))
  return { budgets, windows, hasRates, hard: hard ?? nothingHeld.hard, urgent, tightest }
}

/** What a call that costs nothing holds. @throws Refusal `stopped_by_admin` */
export function holdNothing(view: BudgetsView, identity: CallIdentity, claimed: ClaimedDimensions): Hold {
  const stop = view.findStop(identity, claimed)
  if (stop) throw refusalOfStop(stop)
  return nothingHeld
}

/** The no of an admin's stop, for a call before it or in it. */
export function refusalOfStop({ stop_id: stopId, reason }: Stop): Refusal {
  const words = `These calls were stopped by an admin: "${reason}" Ask them to lift the stop.`
  return new Refusal('stopped_by_admin', words, { stopId })
}

function isSorted(hard: readonly MatchedBudget[]): boolean {
  for (let at = 1; at < hard.length; at++)
    if ((hard[at - 1]?.budget.budget_id ?? '') > (hard[at]?.budget.budget_id ?? '')) return false
  return true
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
    window: cutoff.window as Budget['window'],
    resets_at_ms: cutoff.until_ms,
  }
  if (isRateLimit(budget)) return refusalOfRate(budget, Date.now())
  return new Refusal('budget_spent', budgetMessage(budget), { budget })
}

/** A hard budget has less left than a call needs, and what is held of it will not change that. */
export function refusalOfSpent(
  budget: Budget,
  { copy, limit, spent, held, need }: { copy: string; limit: number; spent: number; held: number; need: number },
  resetsAtMs?: number,
): Refusal {
  const about: RefusalBudget = {
    budget_id: budget.budget_id,
    name: budget.name,
    copy,
    scope: budget.scope,
    unit: budget.unit,
    limit,
    spent,
    held,
    need,
    window: budget.window,
    resets_at_ms: resetsAtMs,
  }
  if (isRateLimit(budget)) return refusalOfRate(about, Date.now(), need)
  return new Refusal('budget_spent', budgetMessage(about, need), { budget: about })
}

function budgetMessage(budget: RefusalBudget, need?: number): string {
  const sign = budget.unit === 'usd' ? '$' : ''
  const unit = budget.unit === 'usd' ? '' : ` ${budget.unit}`
  const amount = (value: number) => `${sign}${formatAmount(value, budget.unit)}${unit}`
  const resets =
    budget.resets_at_ms === undefined
      ? 'It does not reset by itself.'
      : `It resets at ${new Date(budget.resets_at_ms).toISOString()}.`
  const copy = budget.copy === '' ? '' : ` for ${budget.copy}`
  if (need !== undefined && budget.spent < budget.limit)
    return `Budget "${budget.name}"${copy} has too little left: ${amount(budget.spent)} of ${amount(budget.limit)} (${budget.window}) is spent, and this call needs ${amount(need)} at least, so it is out of credits. ${resets} Ask its owner to raise it, or ask for less.`
  // MeshAgent's clients know a final "no money" by the words "out of credits".
  return `Budget "${budget.name}"${copy} is spent: ${amount(budget.spent)} of ${amount(budget.limit)} (${budget.window}), so this call is out of credits. ${resets} Ask its owner to raise it.`
}
