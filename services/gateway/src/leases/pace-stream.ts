import type { Hold, JournaledHold, Need, Refused } from '@sluice/leases'
import type { CallBound } from '../bounds/call-bound.ts'
import { isRateLimit } from '../rate-limit.ts'
import { meteringUnavailable, type Refusal } from '../refusal.ts'
import type { Money } from './money.ts'
import { budgetUnknown, type LeaseDeps, poolOf, refusalOf, trancheTokens } from './take-money.ts'

export interface PaceOptions {
  attemptId: string
  money: Money
  bound: CallBound
  /** So much output is paid for when it begins. */
  outputTokens: number
  /** Its bound in a service tier that the reply has named. */
  boundInTier: (tier: string) => CallBound
  /** Writes the EXTEND: what is held now may be used once it stands there. False: it does not. */
  extend: (holds: JournaledHold[]) => boolean
  /** Resolves when that is as safe as the journal promises; undefined: it is. */
  secured: (() => Promise<void>) | undefined
}

/** Few languages have shorter tokens: counted so, more is paid for than is used. */
const bytesPerToken = 3
/** As much as this is always paid for ahead of what was seen. */
const aheadTokens = trancheTokens / 2
const askAgainMs = 200

/**
 * Pays for a stream as it goes on: a tranche ahead of what has been seen of it. Where no more is to be had, and all that was paid for
 * is used, the stream ends.
 */
export class PaceStream {
  readonly #deps: LeaseDeps
  readonly #options: PaceOptions
  readonly #extensionId: string
  /** By the dearest tier that may serve it, until the reply names the one that does. */
  #bound: CallBound
  #tier: string | undefined
  /** Budgets that are hard no longer, and rate limits that have no more: it goes on without them. */
  readonly #gone = new Set<string>()
  #coveredTokens: number
  #seenTokens = 0
  #isWaiting = false
  #askAgainAtMs = 0
  #refusal: Refusal | undefined
  #onShort: (refusal: Refusal) => void = () => {}

  constructor(deps: LeaseDeps, options: PaceOptions) {
    this.#deps = deps
    this.#options = options
    this.#extensionId = `${options.attemptId}+`
    this.#bound = options.bound
    this.#coveredTokens = options.outputTokens
  }

  /** @param onShort called, perhaps more than once, when the stream must end */
  start(onShort: (refusal: Refusal) => void): void {
    this.#onShort = onShort
  }

  /**
   * As much of the output has come, in bytes of its text.
   * @param tier in which it is served, as far as the reply has said
   */
  seen(outputBytes: number, tier: () => string | undefined): void {
    this.#seenTokens = Math.ceil(outputBytes / bytesPerToken)
    const bound = this.#bound
    if (this.#seenTokens + aheadTokens <= this.#coveredTokens || this.#coveredTokens >= bound.outputTokens) return
    if (!this.#isWaiting && Date.now() >= this.#askAgainAtMs) {
      this.#priceBy(tier())
      this.#extend()
    }
    this.#endIfShort()
  }

  /** It has ended: nothing is waited for any more. */
  stop(): void {
    this.#deps.client.line.giveUp(this.#extensionId)
  }

  /** What is held for a dearer tier than the one that serves it pays for what is to come. */
  #priceBy(tier: string | undefined): void {
    if (tier === undefined || tier === 'auto' || tier === this.#tier) return
    this.#tier = tier
    const inTier = this.#options.boundInTier(tier)
    const most = (bound: CallBound): number => bound.amount('usd', bound.outputTokens)
    if (most(inTier) < most(this.#bound)) this.#bound = inTier
  }

  #extend(): void {
    const { money } = this.#options
    const bound = this.#bound
    const nowMs = Date.now()
    const toTokens = Math.min(bound.outputTokens, this.#coveredTokens + trancheTokens)
    const needs = money.budgets.map(({ budget, copy }, at): Need => {
      const isGone = this.#gone.has(budget.budget_id)
      const more = isGone ? 0 : Math.max(0, bound.amount(budget.unit, toTokens) - money.heldOf(at))
      return { pool: poolOf(this.#deps, budget, copy, nowMs), want: more, need: more }
    })
    // What runs goes before what waits: its money keeps nobody waiting longer than its end does.
    const hold = this.#deps.client.wallet.hold(this.#extensionId, needs, nowMs, true)
    if (hold) {
      this.#take(hold, toTokens)
      return
    }
    this.#isWaiting = true
    this.#deps.client.line.wait(
      {
        attemptId: this.#extensionId,
        // Requests and slots are held already.
        needs: needs.filter(({ want }) => want > 0),
        // What is held by others is asked for again, while what was paid for lasts.
        heldMs: 0,
        done: waited => {
          this.#isWaiting = false
          if (waited.outcome === 'left') return
          if (waited.outcome === 'held') this.#deps.client.wallet.release(waited.hold)
          const granted = this.#deps.client.wallet.hold(this.#extensionId, needs, Date.now(), true)
          if (granted) {
            this.#take(granted, toTokens)
            return
          }
          if (waited.outcome === 'refused' && this.#endsNoStream(waited.refused)) {
            // What it holds of it is settled as ever, and what it uses beyond that with it.
            this.#gone.add(waited.refused.budget_id)
            this.#extend()
            return
          }
          const first = money.budgets[0]
          if (waited.outcome === 'refused') this.#refusal = refusalOf(money.budgets, waited.refused, needs)
          else if (first) this.#refusal = budgetUnknown(first.budget)
          this.#askAgainAtMs = Date.now() + askAgainMs
          this.#endIfShort()
        },
      },
      nowMs,
    )
  }

  /** Its budget was deleted or made soft, or is a rate limit: such a one keeps the next call out, and ends none that runs. */
  #endsNoStream({ reason, budget_id: budgetId }: Refused): boolean {
    if (reason === 'unknown_budget') return true
    const matched = this.#options.money.budgets.find(({ budget }) => budget.budget_id === budgetId)
    return matched !== undefined && isRateLimit(matched.budget)
  }

  #take(hold: Hold, toTokens: number): void {
    const { money, extend, secured } = this.#options
    if (!money.extend(hold, extend)) {
      this.#isUnrecorded()
      return
    }
    this.#refusal = undefined
    if (!secured) {
      this.#coveredTokens = toTokens
      return
    }
    this.#isWaiting = true
    secured().then(
      () => {
        this.#isWaiting = false
        this.#coveredTokens = toTokens
      },
      () => {
        this.#isWaiting = false
        this.#isUnrecorded()
      },
    )
  }

  /** The journal is in trouble: what is paid for is all that it gets. */
  #isUnrecorded(): void {
    this.#refusal = meteringUnavailable(undefined)
    this.#askAgainAtMs = Date.now() + askAgainMs
    this.#endIfShort()
  }

  #endIfShort(): void {
    if (this.#refusal && this.#seenTokens >= this.#coveredTokens) this.#onShort(this.#refusal)
  }
}
