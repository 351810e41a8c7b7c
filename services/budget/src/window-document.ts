import type { BudgetWindow } from '@sluice/contracts'
import { toDocumentAmount } from './amount.ts'
import type { OpenWindow } from './window-store.ts'

/** A running window as gateways show it. `held` is 0 while there are no leases. */
export function toWindowDocument({ sum, limit, updatedAtMs }: OpenWindow): BudgetWindow {
  return {
    budget_id: sum.budgetId,
    copy: sum.copy,
    window_start_ms: sum.window.startMs,
    ...(sum.window.endMs === undefined ? {} : { window_end_ms: sum.window.endMs }),
    spent: toDocumentAmount(sum.amount),
    held: 0,
    limit,
    updated_at_ms: updatedAtMs,
  }
}
