import type { CallIdentity, ClaimedDimensions, Cutoff } from '@sluice/contracts'
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

/** A call that has been admitted and is not settled. */
export interface LiveCall {
  /** Who makes it. */
  readonly identity: CallIdentity
  readonly budgets: readonly MatchedBudget[]
  /** What it says of itself. */
  readonly claimed: ClaimedDimensions
  /** What it uses is charged to its project's balance: it is neither free nor under a credential of the project's own. */
  readonly isCharged: boolean
  /** Where {@link LiveCalls} keeps it; -1: nowhere. */
  place: number
  cut: (order: CutOrder) => void
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

  /** Cuts the calls that count against a budget copy. @param copyOf in which copy a budget counts them now */
  cutBudget(
    cutoff: Cutoff,
    order: (budget: MatchedBudget['budget'] | undefined) => CutOrder,
    copyOf = ({ copy }: MatchedBudget) => copy,
  ): number {
    const countsAgainst = (matched: MatchedBudget) =>
      matched.budget.budget_id === cutoff.budget_id && copyOf(matched) === cutoff.copy
    return this.cutWhere(
      call => call.budgets.some(countsAgainst),
      call => order(call.budgets.find(countsAgainst)?.budget),
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
