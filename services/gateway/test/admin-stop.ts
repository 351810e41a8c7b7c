import type { Cutoff } from '@sluice/contracts'

/** What stands in KV `cutoffs` while an admin has stopped what a budget of $100 is for, or has let it go on. */
export function adminStop(projectId: string, budgetId: string, at: { version: number; active: boolean }): Cutoff {
  const nowMs = Date.now()
  return {
    cutoff_id: budgetId,
    version: at.version,
    active: at.active,
    reason: 'stopped_by_admin',
    budget_id: budgetId,
    name: 'All',
    copy: '',
    project_id: projectId,
    unit: 'usd',
    limit: 100_000_000_000,
    spent: 0,
    window: 'total',
    window_start_ms: nowMs,
    at_ms: nowMs,
  }
}
