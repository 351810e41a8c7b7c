import type { BudgetWindow } from '@sluice/contracts'
import { toDocumentAmount } from './amount.ts'
import { heldIn, spentIn } from './budget.ts'
import type { OpenWindow } from './window-store.ts'

/** A running window as gateways show it. */
export function toWindowDocument({ sum, limit, isFull, updatedAtMs }: OpenWindow): BudgetWindow {
  return {
    budget_id: sum.budgetId,
    copy: sum.copy,
    window_start_ms: sum.window.startMs,
    ...(sum.window.endMs === undefined ? {} : { window_end_ms: sum.window.endMs }),
    spent: toDocumentAmount(spentIn(sum)),
    held: toDocumentAmount(heldIn(sum)),
    limit,
    ...(isFull ? { full: true as const } : {}),
    updated_at_ms: updatedAtMs,
  }
}
