import type { Hold, JournaledHold, Need, WalletLease, WalletPool } from '@sluice/leases'
import type { UsageResult } from '@sluice/usage'
import type { CallBound } from '../bounds/call-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import { amountOf } from '../rate-limit.ts'
import { meteringUnavailable, type Refusal, type RefusalBudget } from '../refusal.ts'
import type { Money } from './money.ts'
import type { SpareHolder } from './spare-money.ts'
import { budgetUnavailable, knownOf, type LeaseDeps, refusalOf, tooManyWait, trancheTokens } from './take-money.ts'
import { speakerOf } from './token-lengths.ts'
import type { ToldInput } from './told-input.ts'

export interface PaceOptions {
  attemptId: string
  /** Who pays for it. */
  projectId: string
  /** Whose tokens it is counted by. */
  model: string
  money: Money
  bound: CallBound
  /** So much output is paid for when it begins. */
  outputTokens: number
  /** All of its output is seen as it comes: it can be paid for as it goes on. */
  isVisible: boolean
  /** Its bound in a service tier that the reply has named; absent: as it is. */
  boundInTier?: ((tier: string) => CallBound) | undefined
  /** What its reply says of its input; absent: its beginning says nothing of that. */
  readInput?: ((usage: UsageResult) => ToldInput | undefined) | undefined
  /** Writes the EXTEND: what is held now may be used once it stands there. False: it does not. */
  extend: (holds: JournaledHold[]) => boolean
  /** Resolves when that is as safe as the journal promises; undefined: it is. */
  secured: (() => Promise<void>) | undefined
}

/** What was seen may be so much more, in parts of it, where tokens are shorter still: that is not given back. */
const marginPart = 4
/** As much as this is always paid for ahead of what was seen. */
const aheadTokens = trancheTokens / 2
const askAgainMs = 200

/**
 * Pays for a stream as it goes on. One that held all that it may say gives back what others lack, down to a tranche and a margin ahead
 * of what has been seen of it, and what its input turns out not to cost. From then on, or from its beginning where money was short, it is paid
 * for a tranche ahead; where no more is to be had, and all that was paid for is used, it ends.
 */
export class PaceStream implements SpareHolder {
  readonly pools: readonly WalletPool[]
  readonly #deps: LeaseDeps
  readonly #options: PaceOptions
  readonly #extensionId: string
  readonly #speaker: string
  /** By the dearest tier that may serve it, until the reply names the one that does. */
  #bound: CallBound
  #tier: string | undefined
  /** Budgets that are hard no longer: it goes on without them. */
  readonly #gone = new Set<string>()
  #isInputRead: boolean
  #coveredTokens: number
  #seenTokens = 0
  #isWaiting = false
  #isPaused = false
  #askAgainAtMs = 0
  #refusal: Refusal | undefined
  #onShort: (refusal: Refusal) => void = () => {}

  constructor(deps: LeaseDeps, options: PaceOptions) {
    this.#deps = deps
    this.#options = options
    this.#extensionId = `${options.attemptId}+`
    this.#speaker = speakerOf(options.projectId, options.model)
    this.#bound = options.bound
    this.#coveredTokens = options.outputTokens
    this.#isInputRead = options.readInput === undefined
    this.pools = options.money.pools
  }

  /** @param onShort called, perhaps more than once, when the stream must end */
  start(onShort: (refusal: Refusal) => void): void {
    this.#onShort = onShort
    if (this.#options.isVisible) this.#deps.client.spare.add(this)
  }

  /**
   * As much of the output has come, in bytes of its text.
   * @param outputPieces it came in so many: each is a token at least. 0 where that says nothing
   * @param usage what the reply has said of it so far
   */
  seen(outputBytes: number, outputPieces: number, usage: () => UsageResult): void {
    const { tokenLengths } = this.#deps
    const seenTokens = Math.max(tokenLengths.tokensIn(outputBytes, this.#speaker), outputPieces)
    // What was counted once stays, whatever other streams teach meanwhile.
    this.#seenTokens = Math.max(this.#seenTokens, seenTokens)
    if (!this.#isInputRead) this.#readInput(usage())
    if (!this.#options.isVisible) return
    const bound = this.#bound
    if (this.#seenTokens + aheadTokens <= this.#coveredTokens || this.#coveredTokens >= bound.outputTokens) return
    if (!this.#isWaiting && Date.now() >= this.#askAgainAtMs) {
      this.#priceBy(usage().modifiers.service_tier)
      this.#extend()
    }
    this.#endIfShort()
  }

  /** It has ended: nothing is waited for any more. */
  stop(): void {
    this.#deps.client.line.giveUp(this.#extensionId)
    this.#deps.client.spare.remove(this)
  }

  /** Its provider has counted what it has said. */
  learn(outputBytes: number, { quantities, provenance }: Pick<UsageResult, 'quantities' | 'provenance'>): void {
    const { out_text: tokens } = quantities
    if (!this.#options.isVisible || tokens === undefined || provenance.out_text !== 'measured') return
    this.#deps.tokenLengths.learn(this.#speaker, outputBytes, tokens)
  }

  /** Its reader is slow: the provider may have said far more than was seen, so nothing is given back. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  giveBack(): void {
    const toTokens = this.#soonTokens
    if (toTokens >= this.#coveredTokens || this.#isWaiting || this.#isPaused) return
    this.#coveredTokens = toTokens
    this.#options.money.lower(this.#amounts(toTokens))
  }

  addSpare(spare: Map<WalletLease, number>): void {
    const { money } = this.#options
    // Whoever was never sent has told nobody of its end.
    if (money.isSettled) this.stop()
    else if (!this.#isPaused && this.#soonTokens < this.#coveredTokens)
      money.addSpare(this.#amounts(this.#soonTokens), spare)
  }

  /** So much is enough for a while. */
  get #soonTokens(): number {
    return this.#seenTokens + Math.ceil(this.#seenTokens / marginPart) + trancheTokens
  }

  /** What so much output comes to, for each budget. */
  #amounts(outputTokens: number): number[] {
    return this.#options.money.budgets.map(({ budget }) => amountOf(budget, this.#bound, outputTokens))
  }

  /** What was held for the dearest that its input could be pays for no more than it is. */
  #readInput(usage: UsageResult): void {
    const told = this.#options.readInput?.(usage)
    if (!told) return
    this.#isInputRead = true
    this.#bound = this.#bound.withInput(told.tokens, told.nanoUsd)
    this.#options.money.lower(this.#amounts(this.#coveredTokens))
  }

  /** What is held for a dearer tier than the one that serves it pays for what is to come. */
  #priceBy(tier: string | undefined): void {
    const { boundInTier } = this.#options
    if (!boundInTier || tier === undefined || tier === 'auto' || tier === this.#tier) return
    this.#tier = tier
    const inTier = boundInTier(tier)
    const most = (bound: CallBound): number => bound.amount('usd', bound.outputTokens)
    if (most(inTier) < most(this.#bound)) this.#bound = inTier
  }

  #extend(): void {
    const { money } = this.#options
    const bound = this.#bound
    const nowMs = Date.now()
    const toTokens = Math.min(bound.outputTokens, this.#coveredTokens + trancheTokens)
    const needs = money.budgets.flatMap(({ budget }, at): Need[] => {
      const pool = this.#poolAt(at)
      const isGone = this.#gone.has(budget.budget_id)
      const more = isGone ? 0 : Math.max(0, amountOf(budget, bound, toTokens) - money.heldOf(at))
      return pool ? [{ pool, want: more, need: more }] : []
    })
    // What runs goes before what waits: its money keeps nobody waiting longer than its end does.
    const hold = money.takeMore(this.#extensionId, needs, nowMs)
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
          const granted = money.takeMore(this.#extensionId, needs, Date.now())
          if (granted) {
            this.#take(granted, toTokens)
            return
          }
          if (waited.outcome === 'refused' && waited.refused.reason === 'unknown_budget') {
            // Deleted, or made soft: what it holds of it is settled as ever.
            this.#gone.add(waited.refused.budget_id)
            this.#extend()
            return
          }
          if (waited.outcome === 'refused') this.#refusal = refusalOf(money.budgets, waited.refused, needs)
          // What was granted has gone to others meanwhile.
          else if (waited.outcome === 'held') this.#refusal = this.#refusalOfHome(tooManyWait, needs[0]?.pool)
          else
            this.#refusal = this.#refusalOfHome(
              waited.outcome === 'crowded' ? tooManyWait : budgetUnavailable,
              waited.pool,
            )
          this.#askAgainAtMs = Date.now() + askAgainMs
          this.#endIfShort()
        },
      },
      nowMs,
    )
  }

  /** Of the budget that this pool is of. */
  #refusalOfHome(nameBudget: (budget: RefusalBudget) => Refusal, pool: WalletPool | undefined): Refusal | undefined {
    const { budgets } = this.#options.money
    const isOf = ({ budget, copy }: MatchedBudget) => budget.budget_id === pool?.budgetId && copy === pool.copy
    const matched = budgets.find(isOf) ?? budgets[0]
    return matched && nameBudget(knownOf(this.#deps, matched, pool?.windowEndMs, Date.now()))
  }

  /** Of the window that it was let in in, however long it runs. */
  #poolAt(at: number): WalletPool | undefined {
    const pool = this.pools[at]
    return pool?.isForgotten ? this.#deps.client.wallet.pool(pool) : pool
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
