import { type Budget, isPerChosen } from '@sluice/contracts'

/** A share of the limit in force at which a budget tells, in whole per cents. */
export const thresholdRange = { minimum: 1, maximum: 1_000 } as const
export const mostThresholds = 20

/**
 * Windows of a minute, and what has none, tell nothing: they are about how fast a scope may call, and would tell of each minute
 * anew.
 */
export function mayHaveThresholds({ unit, window }: Pick<Budget, 'unit' | 'window'>): boolean {
  return unit !== 'concurrent' && window !== 'minute'
}

/**
 * What a budget tells of where nobody says: a shared one of its last fifth and its end, each of many copies of its end alone. Copies that
 * callers make up tell nobody.
 */
export function defaultThresholds(budget: Pick<Budget, 'unit' | 'window' | 'mode' | 'per'>): number[] {
  if (!mayHaveThresholds(budget) || isPerChosen(budget)) return []
  if (budget.per !== undefined) return [100]
  return budget.mode === 'alert' ? [50, 80, 100] : [80, 100]
}

/** As they are kept: rising, each once. */
export function orderThresholds(thresholds: readonly number[]): number[] {
  return [...new Set(thresholds)].sort((a, b) => a - b)
}

/** The thresholds that so much has reached, rising. */
export function passedThresholds(thresholds: readonly number[], spent: bigint, limit: bigint): number[] {
  if (spent <= 0n) return []
  return thresholds.filter(threshold => spent * 100n >= limit * BigInt(threshold))
}

/**
 * What may have to be told of a sum that has changed. Whether it was told before is known where it is written down: none of it
 * where nothing more is passed than before.
 * @param spentBefore by this change, with the same limit; undefined: anything may have changed
 */
export function thresholdsToTell(
  thresholds: readonly number[],
  sum: { spent: bigint; spentBefore: bigint | undefined; limit: bigint },
): number[] {
  const passed = passedThresholds(thresholds, sum.spent, sum.limit)
  if (sum.spentBefore === undefined) return passed
  const before = passedThresholds(thresholds, sum.spentBefore, sum.limit)
  return passed.slice(before.length)
}

/** A whole per cent, rounded down. */
export function percentOf(spent: bigint, limit: bigint): number {
  return limit === 0n ? 0 : Number((spent * 100n) / limit)
}
