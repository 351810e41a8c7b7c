import {
  type Budget,
  type BudgetWindow,
  type CallIdentity,
  type ClaimedDimensions,
  type Cutoff,
  isPerChosen,
  isPlaceless,
  otherCopy,
} from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import type { BudgetIndex, MatchedBudget } from './budget-index.ts'
import { OtherValues } from './other-values.ts'
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
  #others: OtherValues | undefined
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

  /** A copy has no window any more. */
  forget(copy: string): void {
    if (this.#windows.delete(copy)) this.version++
  }

  /** Nothing more is told of a cutoff: its window is over, or it was lifted long ago, whether that was heard or not. */
  forgetCutoff(copy: string): void {
    if (this.#cutoffs.delete(copy)) this.version++
  }

  /** A home has said that a value shares the copy of all others, in a window that ends then. */
  noteOther(value: string, windowEndMs: number | undefined, nowMs: number): void {
    this.forget(value)
    this.#others ??= new OtherValues()
    this.#others.note(value, windowEndMs, nowMs)
  }

  /**
   * The copy of a value that callers choose. The list of those that have one is the budget service's: a window that is shown is one. A
   * value without may have one or get one, and is taken for its own until the copy of all others is said to be `full`, or its home says
   * that it shares that.
   */
  copyOf(value: string, nowMs: number): string {
    if (isPlaceless(value) || this.findWindow(value, nowMs)) return value
    return this.findFull(nowMs) || this.#others?.has(value, nowMs) ? otherCopy : value
  }

  /** The same for a call that runs: of a window that has begun since it was admitted it knows nothing. */
  copyOfRunning({ budget, copy, said }: MatchedBudget, nowMs: number): string {
    // Money that is held says for good in which copy it counts.
    if (!said || budget.mode === 'hard') return copy
    const full = this.findFull(nowMs)
    if (!full || full.window_start_ms > said.atMs) return copy
    return this.copyOf(copy, nowMs)
  }

  /** The window of all others, where no more values can get a copy. */
  findFull(nowMs: number): BudgetWindow | undefined {
    const shared = this.findWindow(otherCopy, nowMs)
    return shared?.full ? shared : undefined
  }

  findCutoff(copy: string, nowMs: number): Cutoff | undefined {
    const cutoff = this.#cutoffs.get(copy)
    return cutoff?.active && (cutoff.until_ms ?? Infinity) > nowMs ? cutoff : undefined
  }

  /** Every cutoff in force. */
  cutoffsNow(nowMs: number): Cutoff[] {
    return [...this.#cutoffs.keys()].flatMap(copy => this.findCutoff(copy, nowMs) ?? [])
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
  hold(nowMs: number, refusalOf: (cutoff: Cutoff, budget: Budget) => Error): Hold {
    if (this.#budgets.length === 0) return nothingHeld
    let versions = 0
    for (let at = 0; at < this.#states.length; at++) versions += this.#states[at]?.version ?? 0
    const hold = this.#hold
    if (hold && versions === this.#versions && nowMs >= this.#fromMs && nowMs < this.#untilMs) return hold
    this.#hold = this.#find(nowMs, refusalOf)
    this.#versions = versions
    return this.#hold
  }

  #find(nowMs: number, refusalOf: (cutoff: Cutoff, budget: Budget) => Error): Hold {
    const windows: BudgetWindow[] = []
    let untilMs = Number.POSITIVE_INFINITY
    let urgent = false
    let hasRates = false
    let tightest: TightestBudget | undefined
    let smallestShare = Number.POSITIVE_INFINITY
    for (const [at, { budget, copy }] of this.#budgets.entries()) {
      const state = this.#states[at]
      const cutoff = state?.findCutoff(copy, nowMs)
      if (cutoff) throw refusalOf(cutoff, budget)
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
export function unusedWindow(budget: Budget, copy: string, nowMs: number): BudgetWindow {
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

  meet(
    identity: CallIdentity,
    provider: string,
    model: string,
    claimed: ClaimedDimensions,
    nowMs = Date.now(),
  ): MetBudgets {
    const { version } = this.#index
    const last = this.#last.get(identity)
    if (last?.version === version && last.model === model && last.provider === provider) return last.met
    const budgets = this.match(identity, provider, model, claimed, nowMs)
    const met = new MetBudgets(
      budgets,
      budgets.map(({ budget }) => this.#stateOf(budget.budget_id)),
    )
    if (!this.#index.mayDiffer(identity)) this.#last.set(identity, { version, provider, model, met })
    return met
  }

  /** Every budget copy whose scope the call is in, as values are told apart now. */
  match(
    identity: CallIdentity,
    provider: string,
    model: string,
    claimed: ClaimedDimensions,
    nowMs: number,
  ): MatchedBudget[] {
    const matched = this.#index.match(identity, provider, model, claimed)
    for (const each of matched) {
      if (!isPerChosen(each.budget)) continue
      each.said = { values: [each.copy], atMs: nowMs }
      each.copy = this.#stateOf(each.budget.budget_id).copyOf(each.copy, nowMs)
    }
    return matched
  }
}
