import { type Cutoff, cutoffKey } from '@sluice/contracts'
import { toDocumentAmount } from './amount.ts'
import { type CountedBudget, spentIn, type WindowState } from './budget.ts'

/**
 * What a budget copy's cutoff must change to, given what its window has spent; undefined: it is right as it is.
 *
 *   none | lifted ──spent ≥ limit──▶ active ──limit raised, adjusted below, mode alert, excepted, deleted──▶ lifted
 *
 * Only a window that has not ended is cut. Each change has the next version, also over windows, so that a late message never
 * undoes a newer one.
 */
export function decideCutoff(
  budget: CountedBudget,
  sum: WindowState,
  held: Cutoff | undefined,
  nowMs: number,
): Cutoff | undefined {
  const { startMs, endMs } = sum.window
  if (endMs !== undefined && endMs <= nowMs) return undefined
  if (held && held.window_start_ms > startMs) return undefined
  const binds = budget.mode !== 'alert' && !budget.except?.includes(sum.copy)
  const wanted = binds && spentIn(sum) >= BigInt(budget.limit)
  const standing = held?.active === true && held.window_start_ms === startMs
  if (!wanted && !standing) return undefined
  if (wanted && standing && held.limit === budget.limit && held.name === budget.name) return undefined
  return {
    cutoff_id: cutoffKey(budget.budget_id, sum.copy),
    version: (held?.version ?? 0) + 1,
    active: wanted,
    reason: 'budget_spent',
    budget_id: budget.budget_id,
    name: budget.name,
    copy: sum.copy,
    ...(budget.projectId === undefined ? {} : { project_id: budget.projectId }),
    unit: budget.unit,
    limit: budget.limit,
    spent: toDocumentAmount(spentIn(sum)),
    window: budget.window,
    window_start_ms: startMs,
    ...(endMs === undefined ? {} : { until_ms: endMs }),
    at_ms: nowMs,
  }
}

/** A cutoff that is over, or whose budget is gone. */
export function liftCutoff(cutoff: Cutoff, nowMs: number): Cutoff {
  return { ...cutoff, version: cutoff.version + 1, active: false, at_ms: nowMs }
}
