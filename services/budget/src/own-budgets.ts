import { isPerChosen } from '@sluice/contracts'
import type { CountedBudget } from './budget.ts'
import { copyOf, heldIn, spentIn, type WindowState } from './budget.ts'
import type { BudgetState } from './budget-management-store.ts'
import type { Dimensions } from './spend-fact.ts'

/** Whoever asks what is theirs: a person, a program, or a key that is nobody's. */
export interface Owner {
  type: 'member' | 'service_account' | 'key'
  id: string
  /** Teams that may pay for their calls, as far as is known. */
  teamIds: readonly string[]
}

/** A budget that counts the calls of one owner alone. */
export interface OwnBudget {
  budget: CountedBudget
  spent: bigint
  held: bigint
  left: bigint
}

/**
 * The budgets that are an owner's own, the one with the least left first: made for them, or a copy of one that everybody of
 * their kind has. One of a team is theirs where that team pays for them, or has in its running window.
 */
export function ownBudgets(
  states: readonly BudgetState[],
  place: { accountId: string; projectId: string },
  owner: Owner,
): OwnBudget[] {
  const own = states.flatMap(({ budget, windows }): OwnBudget[] => {
    // Which of its copies their next call meets, that call says.
    if (isPerChosen(budget)) return []
    if (budget.per !== owner.type && budget.scope[owner.type] !== owner.id) return []
    const { team } = budget.scope
    const dimensions: Dimensions = {
      account: place.accountId,
      project: place.projectId,
      [owner.type]: owner.id,
      ...(team === undefined ? {} : { team }),
    }
    const copy = copyOf(budget, dimensions)
    if (copy === undefined || budget.except?.includes(copy)) return []
    const window = windows.find(one => one.copy === copy)
    if (team !== undefined && !window && !owner.teamIds.includes(team)) return []
    return [{ budget, ...amountsOf(budget, window) }]
  })
  return own.sort((one, other) => (one.left < other.left ? -1 : one.left > other.left ? 1 : 0))
}

function amountsOf({ limit }: CountedBudget, window: WindowState | undefined) {
  const spent = window ? spentIn(window) : 0n
  const held = window ? heldIn(window) : 0n
  const left = BigInt(limit) - spent - held
  return { spent, held, left: left > 0n ? left : 0n }
}
