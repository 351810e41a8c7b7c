import { type Bus, followBucket, subscribe } from '@sluice/bus'
import { Budget, BudgetCutoff, BudgetReleased, BudgetWindow, type CallIdentity, Cutoff } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** A budget copy that a call counts against. */
export interface MatchedBudget {
  budget: Budget
  /** Value of the `per` dimension; empty for a shared pool. */
  copy: string
}

/**
 * Budgets, what they have spent, and the cutoffs, in memory, from KV `budgets`, `budget-windows` and `cutoffs`. Cutoffs also
 * come by push, whichever is first; the newer version wins. While NATS is away cutoffs hold until their window ends.
 */
export interface BudgetsView {
  /** Every budget copy whose scope this call is in. */
  match: (identity: CallIdentity, provider: string, model: string) => MatchedBudget[]
  /** The cutoff in force for a budget copy now. */
  findCutoff: (budgetId: string, copy: string, nowMs: number) => Cutoff | undefined
  findWindow: (budgetId: string, copy: string, nowMs: number) => BudgetWindow | undefined
  freshAtMs: () => number
  close: () => Promise<void>
}

/** Scope dimensions from the narrowest to the widest: a budget is indexed under the first it names. */
const scopeDimensions = [
  'key',
  'participant',
  'member',
  'room',
  'service_account',
  'team',
  'project',
  'account',
] as const
type ScopeDimension = (typeof scopeDimensions)[number]

function dimensionOf(identity: CallIdentity, dimension: ScopeDimension): string | undefined {
  switch (dimension) {
    case 'key':
      return identity.key_id
    case 'participant':
      return identity.participant
    case 'member':
      return identity.member_id
    case 'room':
      return identity.room
    case 'service_account':
      return identity.service_account_id
    case 'team':
      return identity.team_id
    case 'project':
      return identity.project_id
    case 'account':
      return identity.account_id
  }
}

/** @param onCutoff called when a cutoff has come into force, with what it names */
export async function followBudgets(bus: Bus, log: Logger, onCutoff: (cutoff: Cutoff) => void): Promise<BudgetsView> {
  const index = new Map<string, Budget[]>()
  const indexKeys = new Map<string, string>()
  const cutoffs = new Map<string, Map<string, Cutoff>>()
  const windows = new Map<string, Map<string, BudgetWindow>>()

  const unindex = (budgetId: string): void => {
    const key = indexKeys.get(budgetId)
    if (key === undefined) return
    indexKeys.delete(budgetId)
    const rest = (index.get(key) ?? []).filter(budget => budget.budget_id !== budgetId)
    if (rest.length === 0) index.delete(key)
    else index.set(key, rest)
  }

  const applyCutoff = (cutoff: Cutoff): void => {
    let copies = cutoffs.get(cutoff.budget_id)
    const held = copies?.get(cutoff.copy)
    if (held && held.version >= cutoff.version) return
    if (!copies) {
      copies = new Map()
      cutoffs.set(cutoff.budget_id, copies)
    }
    copies.set(cutoff.copy, cutoff)
    if (cutoff.active) onCutoff(cutoff)
  }

  const budgetsView = await followBucket(bus, 'budgets', Budget, {
    log,
    onChange: (budgetId, budget) => {
      unindex(budgetId)
      if (!budget) {
        cutoffs.delete(budgetId)
        windows.delete(budgetId)
        return
      }
      const narrowest = scopeDimensions.find(dimension => budget.scope[dimension] !== undefined)
      if (!narrowest) return
      const key = `${narrowest}:${budget.scope[narrowest]}`
      indexKeys.set(budgetId, key)
      index.set(key, [...(index.get(key) ?? []), budget])
    },
  })
  const pushes = [
    subscribe(bus, BudgetCutoff, BudgetCutoff.subject(), applyCutoff, log),
    subscribe(bus, BudgetReleased, BudgetReleased.subject(), applyCutoff, log),
  ]
  const cutoffsView = await followBucket(bus, 'cutoffs', Cutoff, {
    log,
    onChange: (_key, cutoff) => {
      if (cutoff) applyCutoff(cutoff)
    },
  })
  const windowsView = await followBucket(bus, 'budget-windows', BudgetWindow, {
    log,
    onChange: (_key, window) => {
      if (!window) return
      let copies = windows.get(window.budget_id)
      if (!copies) {
        copies = new Map()
        windows.set(window.budget_id, copies)
      }
      copies.set(window.copy, window)
    },
  })

  return {
    match(identity, provider, model) {
      const matched: MatchedBudget[] = []
      for (const dimension of scopeDimensions) {
        const value = dimensionOf(identity, dimension)
        if (value === undefined) continue
        const candidates = index.get(`${dimension}:${value}`)
        if (!candidates) continue
        for (const budget of candidates) {
          if (!isInScope(budget, identity, provider, model)) continue
          const copy = budget.per === undefined ? '' : dimensionOf(identity, budget.per)
          // A call without the dimension is in no copy of it.
          if (copy !== undefined) matched.push({ budget, copy })
        }
      }
      return matched
    },
    findCutoff(budgetId, copy, nowMs) {
      const cutoff = cutoffs.get(budgetId)?.get(copy)
      return cutoff?.active && (cutoff.until_ms ?? Infinity) > nowMs ? cutoff : undefined
    },
    findWindow(budgetId, copy, nowMs) {
      const window = windows.get(budgetId)?.get(copy)
      return window && (window.window_end_ms ?? Infinity) > nowMs ? window : undefined
    },
    freshAtMs: () => Math.min(budgetsView.freshAtMs(), cutoffsView.freshAtMs()),
    close: async () => {
      await Promise.all([...pushes, budgetsView, cutoffsView, windowsView].map(resource => resource.close()))
    },
  }
}

function isInScope(budget: Budget, identity: CallIdentity, provider: string, model: string): boolean {
  const { scope } = budget
  for (const dimension of scopeDimensions) {
    const wanted = scope[dimension]
    if (wanted !== undefined && wanted !== dimensionOf(identity, dimension)) return false
  }
  return (
    (scope.provider === undefined || scope.provider === provider) &&
    (scope.model === undefined || scope.model === model)
  )
}
