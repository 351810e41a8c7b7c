import type { Budget, BudgetWindow, CallIdentity, ClaimedDimensions, Cutoff } from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import type { BudgetIndex, MatchedBudget } from './budget-index.ts'
import { isRateLimit } from './rate-limit.ts'

/** What admission found: every budget the call counts against. */
export interface Hold {
  budgets: readonly MatchedBudget[]
  /** What each of them has used, as far as this gateway knows; in their order. Of which nothing was heard, nothing. */
  windows: readonly BudgetWindow[]
  /** Some of them are rate limits. */
  hasRates: boolean
  /** Those of which money is held before the call leaves, in the order of their ids. */
  hard: readonly MatchedBudget[]
  /** Some budget is above 80 %: settlements are published at once. */
  urgent: boolean
  /** The budget with the smallest part left, for the answer's headers. */
  tightest: TightestBudget | undefined
  /** Of a batch: by budget and copy, the models whose requests count in it, where not all of them do. */
  modelsOf?: (matched: MatchedBudget) => readonly string[] | undefined
}

export interface TightestBudget {
  budget: Budget
  spent: number
  held: number
  resetsAtMs: number | undefined
}

export const nothingHeld: Hold = {
  budgets: [],
  windows: [],
  hasRates: false,
  hard: [],
  urgent: false,
  tightest: undefined,
}

/** What is known of one budget: of each of its copies what it has used, and whether it is cut off. */
export class BudgetState {
  readonly #cutoffs = new Map<string, Cutoff>()
  readonly #windows = new Map<string, BudgetWindow>()
  /** Counts what has changed. */
  version = 0

  /** @returns false: a newer one is known */
  cutOff(cutoff: Cutoff): boolean {
    const known = this.#cutoffs.get(cutoff.copy)
    if (known && known.version >= cutoff.version) return false
    this.#cutoffs.set(cutoff.copy, cutoff)
    this.version++
    return true
  }

  show(window: BudgetWindow): void {
    this.#windows.set(window.copy, window)
    this.version++
  }

  findCutoff(copy: string, nowMs: number): Cutoff | undefined {
    const cutoff = this.#cutoffs.get(copy)
    return cutoff?.active && (cutoff.until_ms ?? Infinity) > nowMs ? cutoff : undefined
  }

  findWindow(copy: string, nowMs: number): BudgetWindow | undefined {
    const window = this.#windows.get(copy)
    return window && (window.window_end_ms ?? Infinity) > nowMs ? window : undefined
  }
}

/** The budgets that calls of one kind meet, and what they find there: the same, until something of it changes. */
export class MetBudgets {
  readonly #budgets: readonly MatchedBudget[]
  readonly #states: readonly BudgetState[]
  readonly #hard: readonly MatchedBudget[]
  #hold: Hold | undefined
  /** When it was found, and from when on it may be another one. */
  #fromMs = 0
  #untilMs = 0
  #versions = 0

  /** @param states of the budgets, in their order */
  constructor(budgets: readonly MatchedBudget[], states: readonly BudgetState[]) {
    this.#budgets = budgets
    this.#states = states
    const hard = budgets.filter(({ budget }) => budget.mode === 'hard')
    this.#hard = hard.sort((a, b) => (a.budget.budget_id < b.budget.budget_id ? -1 : 1))
  }

  /**
   * What a call finds that comes now.
   * @throws what `refusalOf` makes of the first cutoff that is in force
   */
  hold(nowMs: number, refusalOf: (cutoff: Cutoff, scope: Budget['scope']) => Error): Hold {
    if (this.#budgets.length === 0) return nothingHeld
    let versions = 0
    for (let at = 0; at < this.#states.length; at++) versions += this.#states[at]?.version ?? 0
    const hold = this.#hold
    if (hold && versions === this.#versions && nowMs >= this.#fromMs && nowMs < this.#untilMs) return hold
    this.#hold = this.#find(nowMs, refusalOf)
    this.#versions = versions
    return this.#hold
  }

  #find(nowMs: number, refusalOf: (cutoff: Cutoff, scope: Budget['scope']) => Error): Hold {
    const windows: BudgetWindow[] = []
    let untilMs = Number.POSITIVE_INFINITY
    let urgent = false
    let hasRates = false
    let tightest: TightestBudget | undefined
    let smallestShare = Number.POSITIVE_INFINITY
    for (const [at, { budget, copy }] of this.#budgets.entries()) {
      const state = this.#states[at]
      const cutoff = state?.findCutoff(copy, nowMs)
      if (cutoff) throw refusalOf(cutoff, budget.scope)
      const window = state?.findWindow(copy, nowMs) ?? unusedWindow(budget, copy, nowMs)
      windows.push(window)
      const { spent, held, window_end_ms: resetsAtMs } = window
      if (resetsAtMs !== undefined) untilMs = Math.min(untilMs, resetsAtMs)
      if (isRateLimit(budget)) hasRates = true
      // A share for the order and the threshold only; no amount is computed from it.
      const share = budget.limit === 0 ? 0 : (budget.limit - spent) / budget.limit
      if (share < 0.2) urgent = true
      if (share < smallestShare) {
        smallestShare = share
        tightest = { budget, spent, held, resetsAtMs }
      }
    }
    this.#fromMs = nowMs
    this.#untilMs = untilMs
    return { budgets: this.#budgets, windows, hasRates, hard: this.#hard, urgent, tightest }
  }
}

const findWindow = createWindowFinder()

/** The window that an instant lies in, where nothing was heard of it: its first call is told when it ends, too. */
function unusedWindow(budget: Budget, copy: string, nowMs: number): BudgetWindow {
  const { startMs, endMs } = findWindow(budget.window, budget.time_zone, nowMs)
  return {
    budget_id: budget.budget_id,
    copy,
    window_start_ms: startMs,
    ...(endMs !== undefined && { window_end_ms: endMs }),
    spent: 0,
    held: 0,
    limit: budget.limit,
    updated_at_ms: nowMs,
  }
}

interface LastMet {
  /** Of the index. */
  version: number
  provider: string
  model: string
  met: MetBudgets
}

/** Finds the budgets of calls: of those of one caller that follow one another alike, once. */
export class MetByCaller {
  readonly #index: BudgetIndex
  readonly #stateOf: (budgetId: string) => BudgetState
  readonly #last = new WeakMap<CallIdentity, LastMet>()

  constructor(index: BudgetIndex, stateOf: (budgetId: string) => BudgetState) {
    this.#index = index
    this.#stateOf = stateOf
  }

  meet(identity: CallIdentity, provider: string, model: string, claimed: ClaimedDimensions): MetBudgets {
    const { version } = this.#index
    const last = this.#last.get(identity)
    if (last?.version === version && last.model === model && last.provider === provider) return last.met
    const budgets = this.#index.match(identity, provider, model, claimed)
    const met = new MetBudgets(
      budgets,
      budgets.map(({ budget }) => this.#stateOf(budget.budget_id)),
    )
    if (!this.#index.asksForClaims(identity)) this.#last.set(identity, { version, provider, model, met })
    return met
  }
}
