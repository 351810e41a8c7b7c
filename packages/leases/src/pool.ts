import type { LeaseWeight } from './lease.ts'

/** One copy of a hard budget in one window: what leases are taken from. Integers in the budget's unit. */
export interface Pool {
  readonly key: string
  readonly budgetId: string
  readonly copy: string
  readonly windowStartMs: number
  readonly limit: number
  /** By usage that names no lease, adjustments included; may be negative. */
  readonly unleased: number
  /** Sums over all of its leases. */
  readonly settled: number
  readonly unresolved: number
  readonly outstanding: number
}

/** One text for a budget copy's window. */
export function poolKey(budgetId: string, copy: string, windowStartMs: number): string {
  return `${budgetId} ${windowStartMs} ${copy}`
}

/** What is used up: in leases and without. */
export function spentOf(pool: Pool): number {
  return pool.unleased + pool.settled
}

/** What can be granted. Below zero only by a named cause: a lowered limit, usage without a hold, a call above its bound. */
export function leftOf(pool: Pool): number {
  return pool.limit - spentOf(pool) - pool.unresolved - pool.outstanding
}

/** The pool, where one of its leases weighs `after` and no longer `before`. */
export function reweigh(pool: Pool, before: LeaseWeight, after: LeaseWeight): Pool {
  return {
    ...pool,
    settled: pool.settled + after.settled - before.settled,
    unresolved: pool.unresolved + after.unresolved - before.unresolved,
    outstanding: pool.outstanding + after.outstanding - before.outstanding,
  }
}
