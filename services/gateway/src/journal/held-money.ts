import type { UsageRecordedData } from '@sluice/contracts'
import { type JournaledHold, type JournaledLeases, usedAmount } from '@sluice/leases'
import type { UsageDraft } from './open-record.ts'

/** What an attempt holds of hard budgets, by its OPEN and its EXTENDs. */
export class HeldMoney {
  #holds: readonly JournaledHold[]
  #extensions = 0

  constructor(holds: readonly JournaledHold[]) {
    this.#holds = holds
  }

  get holds(): readonly JournaledHold[] {
    return this.#holds
  }

  /** @param number of the EXTEND in its attempt, from 1: one that is read again, behind a later one, changes nothing */
  extend(number: number, holds: readonly JournaledHold[]): void {
    if (number <= this.#extensions) return
    this.#extensions = number
    this.#holds = [...this.#holds.filter(known => !holds.some(hold => isSamePool(known, hold))), ...holds]
  }
}

/** Settles what a killed attempt holds, at what its event says that it has used. */
export function settleKilledHolds(
  leases: JournaledLeases,
  draft: UsageDraft,
  holds: readonly JournaledHold[],
  holder: string | undefined,
): Pick<UsageRecordedData, 'leases' | 'lease_totals' | 'unresolved' | 'handed' | 'held'> {
  const settled = leases.settleKilled(
    draft.event_id,
    holds,
    holds.map(({ unit }) => usedAmount(unit, draft)),
    holder,
  )
  return {
    leases: settled.leases,
    lease_totals: settled.totals,
    ...(settled.unresolved.length > 0 && { unresolved: settled.unresolved }),
    ...(holder !== undefined && { handed: { holder, leases: settled.handed } }),
    held: holds.map(({ budget_id, copy, window_start_ms, parts }) => ({
      budget_id,
      copy,
      window_start_ms,
      amount: parts.reduce((sum, [, amount]) => sum + amount, 0),
    })),
  }
}

/** What an attempt holds whose event cannot be made: no budget will hear what it has used, so each sets all of it aside. */
export function unknownUse(holds: readonly JournaledHold[]): JournaledHold[] {
  return holds.map((hold): JournaledHold => ({ ...hold, exact: true }))
}

/** What an attempt holds that was never sent: its end is known, so that no exact budget sets anything aside. */
export function nothingUsed(holds: readonly JournaledHold[]): JournaledHold[] {
  return holds.map(({ exact: _, ...hold }) => hold)
}

function isSamePool(a: JournaledHold, b: JournaledHold): boolean {
  return a.budget_id === b.budget_id && a.copy === b.copy && a.window_start_ms === b.window_start_ms
}
