import type { Budget } from '@sluice/contracts'
import {
  type createWindowFinder,
  homeOfBudget,
  type Need,
  type Refused,
  type Waited,
  type WalletPool,
} from '@sluice/leases'
import type { CallBound } from '../bounds/call-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import { refusalOfSpent } from '../hold-budget.ts'
import { Refusal } from '../refusal.ts'
import type { LeaseClient } from './lease-client.ts'
import { isExact, Money } from './money.ts'
import type { UnknownAllowance } from './unknown-allowance.ts'

export interface LeaseDeps {
  client: LeaseClient
  findWindow: ReturnType<typeof createWindowFinder>
  allowance: UnknownAllowance
}

/** What a call has got. */
export interface Taken {
  /** Undefined: homes are silent, and all of its budgets let it go on without. */
  money: Money | undefined
  /** As much output is paid for; undefined: as much as it asked for. */
  outputTokens: number | undefined
  /** Pays for more as the stream goes on: `outputTokens` is where it begins. */
  isPaced: boolean
}

/** A call that asks for money. */
export interface Paying {
  attemptId: string
  /** The hard budgets that it counts against, in the order of their ids. */
  budgets: readonly MatchedBudget[]
  bound: CallBound
  /** It is streamed, and all of its output is seen while it runs. */
  isVisible: boolean
}

/** What a stream is paid for at first, and each time that it goes on. */
export const trancheTokens = 1_024

/** Calls that may wait for money at a time: more of them only fill memory with what will be refused. */
const mostWaiting = 200

/**
 * Holds what a call can use of each hard budget, at once where leases cover it. Where they do not, homes are asked: the call then
 * waits, and may get less. A stream of which all budgets are `paced` is then paid for as it goes on; any other has its output
 * limited to what is paid.
 * @throws Refusal at once, or later: spent, held by others, unknown, or nothing bounds what it can use
 */
export function takeMoney(deps: LeaseDeps, paying: Paying, nowMs: number): Taken | Promise<Taken> {
  const { attemptId, budgets, bound } = paying
  requireBounded(budgets, bound)
  const isPaced = paying.isVisible && bound.outputTokens > trancheTokens && !budgets.some(each => isExact(each.budget))
  const leastTokens = isPaced ? trancheTokens : bound.clamp ? bound.leastOutputTokens : bound.outputTokens
  const needs = budgets.map(({ budget, copy }): Need => {
    const want = bound.amount(budget.unit, bound.outputTokens)
    return { pool: poolOf(deps, budget, copy, nowMs), want, need: bound.amount(budget.unit, leastTokens) }
  })
  const hold = deps.client.wallet.hold(attemptId, needs, nowMs)
  if (!hold) return waitForMoney(deps, { ...paying, needs, isPaced, leastTokens }, nowMs)
  const money = new Money(deps.client, hold, budgets)
  money.askAhead(nowMs)
  return { money, outputTokens: undefined, isPaced: false }
}

interface Waiting extends Paying {
  needs: readonly Need[]
  isPaced: boolean
  leastTokens: number
}

function waitForMoney(deps: LeaseDeps, waiting: Waiting, nowMs: number): Promise<Taken> {
  const { attemptId, budgets, bound, needs, isPaced, leastTokens } = waiting
  const { line } = deps.client
  if (line.length >= mostWaiting)
    throw new Refusal('budget_held', 'Too many calls wait for money of their budgets. Try again in a moment.', {
      retryAfterS: 1,
    })
  let outputTokens: number | undefined
  const fit = (available: readonly number[]): readonly number[] | undefined => {
    const within = outputWithin(bound, budgets, available)
    if (within < leastTokens) return undefined
    outputTokens = isPaced ? trancheTokens : within
    return amountsOf(bound, budgets, outputTokens)
  }
  return new Promise<Waited>(resolve => {
    line.wait({ attemptId, needs, fit, done: resolve }, nowMs)
  }).then(waited => {
    switch (waited.outcome) {
      case 'held':
        return {
          money: new Money(deps.client, waited.hold, budgets),
          outputTokens,
          isPaced: isPaced && outputTokens !== undefined,
        }
      case 'refused':
        throw refusalOf(budgets, waited.refused, needs)
      case 'unanswered':
        return goWithout(deps, waiting, waited.pool.budgetId)
    }
  })
}

export function poolOf(deps: LeaseDeps, budget: Budget, copy: string, nowMs: number): WalletPool {
  const isConcurrent = budget.unit === 'concurrent'
  const window = isConcurrent ? undefined : deps.findWindow(budget.window, budget.time_zone, nowMs)
  return deps.client.wallet.pool({
    budgetId: budget.budget_id,
    copy,
    windowStartMs: window?.startMs ?? 0,
    windowEndMs: window?.endMs,
    home: homeOfBudget(budget),
    isConcurrent,
  })
}

function amountsOf(bound: CallBound, budgets: readonly MatchedBudget[], outputTokens: number): number[] {
  return budgets.map(({ budget }) => bound.amount(budget.unit, outputTokens))
}

function outputWithin(bound: CallBound, budgets: readonly MatchedBudget[], amounts: readonly number[]): number {
  return Math.min(...budgets.map(({ budget }, at) => bound.outputWithin(budget.unit, amounts[at] ?? 0)))
}

function requireBounded(budgets: readonly MatchedBudget[], { unboundedBy }: CallBound): void {
  if (unboundedBy === undefined) return
  const exact = budgets.find(({ budget }) => isExact(budget))
  if (!exact) return
  throw new Refusal(
    'budget_not_bounded',
    `Budget "${exact.budget.name}" holds all that a call can cost before it is sent, and nothing bounds what this one can cost: ${unboundedBy}. Set a limit there, or leave it out.`,
  )
}

/** No home has answered in time: each budget says whether a call may go on without, and up to which amount. */
function goWithout(deps: LeaseDeps, { attemptId, budgets, needs }: Waiting, silent: string): Taken {
  const silentHome = needs.find(({ pool }) => pool.budgetId === silent)?.pool.home
  const rest: { need: Need; matched: MatchedBudget }[] = []
  const without: { need: Need; matched: MatchedBudget }[] = []
  for (const [at, need] of needs.entries()) {
    const matched = budgets[at]
    if (!matched) continue
    const isKnown = need.pool.home !== silentHome
    ;(isKnown ? rest : without).push({ need, matched })
  }
  const refused = without.find(({ need, matched }) => !deps.allowance.has(matched.budget, need.pool, need.want))
  if (refused) throw budgetUnknown(refused.matched.budget)
  const hold =
    rest.length === 0
      ? undefined
      : deps.client.wallet.hold(
          attemptId,
          rest.map(({ need }) => need),
          Date.now(),
        )
  const missing = rest[0]
  if (missing && !hold) throw budgetUnknown(missing.matched.budget)
  for (const { need } of without) deps.allowance.take(need.pool, need.want)
  return {
    money:
      hold &&
      new Money(
        deps.client,
        hold,
        rest.map(({ matched }) => matched),
      ),
    outputTokens: undefined,
    isPaced: false,
  }
}

export function budgetUnknown(budget: Budget): Refusal {
  return new Refusal(
    'budget_unknown',
    `What budget "${budget.name}" has left cannot be asked right now, and it lets no call go on without. Try again in a moment.`,
    { retryAfterS: 1 },
  )
}

export function refusalOf(budgets: readonly MatchedBudget[], refused: Refused, needs: readonly Need[]): Refusal {
  const { reason, spent, held, limit } = refused
  const at = budgets.findIndex(each => each.budget.budget_id === refused.budget_id && each.copy === refused.copy)
  const budget = budgets[at]?.budget
  const asked = needs[at]
  if (!budget || !asked || reason === 'unknown_budget' || reason === 'not_open' || reason === 'fenced')
    return new Refusal('budget_held', 'A budget of this call has changed this moment. Try again.', { retryAfterS: 1 })
  if (reason === 'spent')
    return refusalOfSpent(budget, { copy: refused.copy, limit, spent, held, need: asked.need }, asked.pool.windowEndMs)
  return new Refusal(
    'budget_held',
    `What budget "${budget.name}" has left is held by calls that run now. Try again in a moment.`,
    { retryAfterS: 1 },
  )
}
