import type { CallIdentity, ClaimedDimensions, Cutoff, Dialect } from '@sluice/contracts'
import type { MatchedBudget } from './budget-index.ts'
import type { Refusal } from './refusal.ts'

/** Why and how a running call is ended. */
export interface CutOrder {
  /** What the caller is told, as if it had been refused. */
  refusal: Refusal
  /**
   * `soft`: the stream ends as if the output limit had been reached, no exception; `explicit`: the client's library raises.
   * Money is soft, permission is explicit.
   */
  style: 'soft' | 'explicit'
}

/** What a call has asked for, and when it was admitted. */
export interface AskedCall {
  readonly admittedAtMs: number
  readonly match: { readonly dialect: Dialect }
  readonly requestedModel: string
}

/** A call that has been admitted and is not settled. */
export interface LiveCall {
  /** Who makes it. */
  readonly identity: CallIdentity
  readonly budgets: readonly MatchedBudget[]
  /** What it says of itself. */
  readonly claimed: ClaimedDimensions
  /** What budgets that are made while it runs are told of it; absent: it is free, or meets those alone that it has met. */
  readonly asked?: AskedCall | undefined
  /** What it uses is charged to its project's balance: it is neither free nor under a credential of the project's own. */
  readonly isCharged: boolean
  /** Where {@link LiveCalls} keeps it; -1: nowhere. */
  place: number
  cut: (order: CutOrder) => void
}

/** What is known now of the budgets of a call that was admitted before. */
export interface RunningBudgets {
  /** In which copy a budget counts it. */
  copyOf: (matched: MatchedBudget) => string
  /** A budget that counts it although it was not known when it was admitted. */
  madeLater: (budgetId: string, call: LiveCall) => MatchedBudget | undefined
}

/**
 * The calls that run on this gateway, to be ended when money or permission goes. An array, not a Set: a Set that sees every
 * call come and go leaves tables behind that keep dead calls alive until a full collection, at a fifth of the CPU per call.
 */
export class LiveCalls {
  readonly #calls: LiveCall[] = []
  readonly #onFault: (error: unknown) => void
  #whenEmpty: (() => void)[] = []

  /** @param onFault told of a call that failed to end: it is the only one that may go on */
  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault
  }

  add(call: LiveCall): void {
    call.place = this.#calls.push(call) - 1
  }

  /** Takes a call out; the last one moves to its place. */
  remove(call: LiveCall): void {
    const { place } = call
    if (this.#calls[place] !== call) return
    const last = this.#calls.pop()
    if (last && last !== call) {
      this.#calls[place] = last
      last.place = place
    }
    call.place = -1
    if (this.#calls.length === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  get size(): number {
    return this.#calls.length
  }

  /** Cuts the calls that a predicate picks, each whatever becomes of the others. @returns how many were told */
  cutWhere(picks: (call: LiveCall) => boolean, order: (call: LiveCall) => CutOrder): number {
    let cut = 0
    for (const call of [...this.#calls]) {
      if (!picks(call)) continue
      cut++
      try {
        call.cut(order(call))
      } catch (error) {
        this.#onFault(error)
      }
    }
    return cut
  }

  /** Cuts the calls that count against a budget copy, those that began before it was made as well. */
  cutBudget(
    cutoff: Cutoff,
    order: (budget: MatchedBudget['budget'] | undefined) => CutOrder,
    { copyOf, madeLater }: RunningBudgets,
  ): number {
    const isThis = ({ budget }: MatchedBudget) => budget.budget_id === cutoff.budget_id
    const countsAgainst = (matched: MatchedBudget) => isThis(matched) && copyOf(matched) === cutoff.copy
    // A batch may count in several copies of it.
    const countedIn = (call: LiveCall): MatchedBudget | undefined => {
      if (call.budgets.some(isThis)) return call.budgets.find(countsAgainst)
      const later = madeLater(cutoff.budget_id, call)
      return later && countsAgainst(later) ? later : undefined
    }
    return this.cutWhere(
      call => countedIn(call) !== undefined,
      call => order(countedIn(call)?.budget),
    )
  }

  /** Resolves when no call runs, or after `timeoutMs`: true where none is left. */
  async whenIdle(timeoutMs: number): Promise<boolean> {
    if (this.#calls.length === 0) return true
    return await new Promise(resolve => {
      const timer = setTimeout(() => resolve(false), timeoutMs)
      this.#whenEmpty.push(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }
}
