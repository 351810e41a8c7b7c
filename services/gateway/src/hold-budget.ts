import type { Budget, CallIdentity, ClaimedDimensions, Cutoff, Dialect, Stop } from '@sluice/contracts'
import type { Principal } from './authenticate.ts'
import { formatAmount } from './format-amount.ts'
import { type Hold, nothingHeld } from './met-budgets.ts'
import { isRateLimit, refusalOfRate } from './rate-limit.ts'
import { nameOf, Refusal, type RefusalBudget } from './refusal.ts'
import type { RouteResolver } from './resolve-route.ts'
import type { BudgetsView } from './views/budgets-view.ts'

export interface HoldDeps {
  budgets: BudgetsView
  routes: Pick<RouteResolver, 'resolve'>
}

/**
 * Meets every matching budget, from memory; the first that is spent refuses. A balance that is used up refuses what would be
 * charged to it: a call under a credential of the project's own is not.
 * @param access by which it goes out, where that is not the one of new calls
 * @throws Refusal `budget_spent` or `rate_limited`, naming the budget; `stopped_by_admin`, `balance_exhausted`
 */
export function holdBudget(
  { budgets, routes }: HoldDeps,
  { identity, project }: Pick<Principal, 'identity' | 'project'>,
  provider: Dialect,
  model: string,
  claimed: ClaimedDimensions,
  nowMs: number,
  access?: string,
): Hold {
  const stop = budgets.findStop(identity, claimed)
  if (stop) {
    const isCharged = () => (access ?? routes.resolve(project, provider, identity.team_id).access) === 'managed'
    if (stop.kind !== 'balance_exhausted' || isCharged()) throw refusalOfStop(stop)
  }
  return budgets.meet(identity, provider, model, claimed, nowMs).hold(nowMs, refusalOfCutoff)
}

/** What a call that costs nothing holds. @throws Refusal `stopped_by_admin` */
export function holdNothing(view: BudgetsView, identity: CallIdentity, claimed: ClaimedDimensions): Hold {
  const stop = view.findStop(identity, claimed)
  if (stop && stop.kind === undefined) throw refusalOfStop(stop)
  return nothingHeld
}

/** The no of a stop, for a call before it or in it. */
export function refusalOfStop({ stop_id: stopId, reason, kind }: Stop): Refusal {
  if (kind === 'balance_exhausted')
    // MeshAgent's clients know a final "no money" by the words "out of credits".
    return new Refusal(
      'balance_exhausted',
      'The prepaid balance of this project is used up, so this call is out of credits. Ask whoever runs this installation to credit the project.',
    )
  const words = `These calls were stopped by an admin: "${reason}" Ask them to lift the stop.`
  return new Refusal('stopped_by_admin', words, { stopId })
}

/** The no of a cutoff, for a call before it or in it. */
export function refusalOfCutoff(cutoff: Cutoff, matched: Pick<Budget, 'scope' | 'per'> | undefined): Refusal {
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
    per: matched?.per,
    scope: matched?.scope ?? {},
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
    per: budget.per,
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
  if (need !== undefined && budget.spent < budget.limit)
    return `Budget ${nameOf(budget)} has too little left: ${amount(budget.spent)} of ${amount(budget.limit)} (${budget.window}) is spent, and this call needs ${amount(need)} at least, so it is out of credits. ${resets} Ask its owner to raise it, or ask for less.`
  // MeshAgent's clients know a final "no money" by the words "out of credits".
  return `Budget ${nameOf(budget)} is spent: ${amount(budget.spent)} of ${amount(budget.limit)} (${budget.window}), so this call is out of credits. ${resets} Ask its owner to raise it.`
}
