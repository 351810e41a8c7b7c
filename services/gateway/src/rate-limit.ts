import type { Budget } from '@sluice/contracts'
import type { Refused } from '@sluice/leases'
import type { CallBound } from './bounds/call-bound.ts'
import { nameOf, Refusal, type RefusalBudget } from './refusal.ts'

/** A limit on how fast a scope may call: it is not out of money, and asking again after a moment helps. */
export function isRateLimit({ unit, window }: { unit: string; window: string }): boolean {
  return unit === 'concurrent' || (window === 'minute' && unit !== 'usd')
}

/**
 * What a call holds of one of its budgets with so much output. A rate limit of tokens is about how much is used a minute, not about
 * how much one call may put out: of that a call holds a first part, is neither clamped nor ended for more, and counts what it
 * has used. One that is `exact` holds all.
 */
export function amountOf(budget: Budget, bound: CallBound, outputTokens: number): number {
  return bound.amount(budget.unit, isLoose(budget) ? Math.min(outputTokens, firstTokens) : outputTokens)
}

/** The most output for which this much of a budget is enough; -1: not even the input fits. */
export function outputWithinOf(budget: Budget, bound: CallBound, amount: number): number {
  if (!isLoose(budget)) return bound.outputWithin(budget.unit, amount)
  return amount >= amountOf(budget, bound, bound.outputTokens) ? bound.outputTokens : -1
}

const firstTokens = 1_024

export function isLoose({ unit, window, hold }: Budget): boolean {
  return unit === 'tokens' && window === 'minute' && hold !== 'exact'
}

/** Slots and tokens that running calls hold come back within seconds; requests that they have made do not. */
const heldRetryS = { concurrent: 2, tokens: 5 } as const

/**
 * The no of a rate limit that is used up.
 * @param need what the call needs at least: more than all of the limit is never there
 */
export function refusalOfRate(limit: RefusalBudget, nowMs: number, need = 0): Refusal {
  if (need > limit.limit)
    return new Refusal(
      'rate_limited',
      `Rate limit ${nameOf(limit)} lets ${passing(limit)} pass, and this call alone needs ${need}. Ask for less, or have its owner raise it.`,
      { budget: { ...limit, need } },
    )
  return used(limit, secondsUntil(limit.resets_at_ms ?? nowMs, nowMs))
}

/** The no of one that running calls hold the rest of. */
export function refusalOfHeldRate(
  { budget_id, name, per, scope, unit, window, limit }: Budget,
  { copy, spent, held }: Pick<Refused, 'copy' | 'spent' | 'held'>,
  resetsAtMs: number | undefined,
  nowMs: number,
): Refusal {
  const about = { budget_id, name, copy, per, scope, unit, window, limit, spent, held, resets_at_ms: resetsAtMs }
  const untilReset = resetsAtMs === undefined ? Number.POSITIVE_INFINITY : secondsUntil(resetsAtMs, nowMs)
  const soon = unit === 'concurrent' || unit === 'tokens' ? heldRetryS[unit] : Number.POSITIVE_INFINITY
  return used(about, Math.min(soon, untilReset))
}

function used(limit: RefusalBudget, retryAfterS: number): Refusal {
  return new Refusal(
    'rate_limited',
    `Rate limit ${nameOf(limit)} lets ${passing(limit)} pass, and ${limit.limit === 1 ? 'it is' : 'they are'} used. Please try again in ${retryAfterS}s.`,
    { budget: limit, retryAfterS },
  )
}

function passing({ limit, unit }: RefusalBudget): string {
  const what = unit === 'concurrent' ? 'calls' : unit
  const counted = limit === 1 ? `1 ${what.slice(0, -1)}` : `${limit} ${what}`
  return unit === 'concurrent' ? `${counted} at a time` : `${counted} a minute`
}

function secondsUntil(atMs: number, nowMs: number): number {
  return Math.max(1, Math.ceil((atMs - nowMs) / 1000))
}
