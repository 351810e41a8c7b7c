import type { LeaseAnswer } from '@sluice/contracts'
import type { Hold, Need, OpenAsk, Refused, Wallet } from './wallet.ts'
import type { WalletPool } from './wallet-pool.ts'

/**
 * How a wait for money has ended. `unanswered`: a home has not answered in time, so nobody knows. `left`: {@link
 * WaitingLine.giveUp} was called.
 */
export type Waited =
  | { outcome: 'held'; hold: Hold; amounts: readonly number[] }
  | { outcome: 'refused'; refused: Refused }
  | { outcome: 'unanswered'; pool: WalletPool }
  | { outcome: 'left' }

/** A call for which leases had too little. */
export interface Wanting {
  attemptId: string
  needs: readonly Need[]
  /** How long it waits for money that others hold; absent: as the line says. */
  heldMs?: number
  /** How long it waits for all that it wants, where others hold what is missing, before it takes less; absent: not at all. */
  wholeMs?: number
  /** What to hold of each pool where less is there than wanted; undefined: it is of no use. Absent: what is there. */
  fit?: (available: readonly number[]) => readonly number[] | undefined
  done: (waited: Waited) => void
}

/** This run has been followed by another: asking faster does not help it. */
const fencedRestMs = 500
/** Whoever wants more than it was granted asks again so often. */
const wholeAgainMs = 200

interface Waiting extends Wanting {
  sinceMs: number
  asks: Set<number>
  /** A home of it was busy when it was to be asked. */
  isPutOff: boolean
  /** When the wait for an answer ends. */
  answerByMs: number
  /** When the wait for money that others hold ends. */
  heldByMs: number
  /** When it takes less than it wants. */
  wholeByMs: number
  askAgainAtMs: number
  lastRefused: Refused | undefined
}

export interface WaitingLineOptions {
  /** How long a home may take to answer. */
  answerMs?: number
  /** How long a call waits for money that others hold. */
  heldMs?: number
  /** Asks that go out at once. */
  send: (ask: OpenAsk) => void
  /** Homes have less than is wanted: running attempts give back here what they hold and do not need yet. */
  gather?: (pools: readonly WalletPool[]) => void
}

/**
 * Calls that wait for money, in the order in which they came: who comes later gets nothing of a pool that an earlier one waits
 * for. Bounded by time alone: how many may wait is the caller's to say ({@link length}, `WalletPool.waiting`).
 */
export class WaitingLine {
  readonly #wallet: Wallet
  readonly #options: Required<WaitingLineOptions>
  /** In the order in which they came. */
  readonly #line = new Map<string, Waiting>()
  /** By the number of an ask that was not answered. */
  readonly #asked = new Map<number, Waiting>()

  constructor(wallet: Wallet, options: WaitingLineOptions) {
    this.#wallet = wallet
    this.#options = { answerMs: 500, heldMs: 2_000, gather: () => {}, ...options }
  }

  get length(): number {
    return this.#line.size
  }

  /** Waits until all needs are met, refused, or nobody answers. `done` may be called before this returns. */
  wait(wanting: Wanting, nowMs: number): void {
    const waiting: Waiting = {
      ...wanting,
      sinceMs: nowMs,
      asks: new Set(),
      isPutOff: false,
      answerByMs: nowMs + this.#options.answerMs,
      heldByMs: nowMs + (wanting.heldMs ?? this.#options.heldMs),
      wholeByMs: nowMs + (wanting.wholeMs ?? 0),
      askAgainAtMs: 0,
      lastRefused: undefined,
    }
    // Somebody waits for one of its pools, and came before: what is there is not for this one.
    const isBehind = wanting.needs.some(({ pool }) => pool.waiting > 0)
    for (const { pool } of wanting.needs) pool.waiting++
    this.#line.set(waiting.attemptId, waiting)
    this.#ask(waiting, nowMs, isBehind)
    this.poll(nowMs)
  }

  /** An ask was answered; the wallet has taken the grants. */
  answered(answer: LeaseAnswer, nowMs: number): void {
    const waiting = this.#asked.get(answer.seq)
    if (waiting) {
      this.#asked.delete(answer.seq)
      waiting.asks.delete(answer.seq)
      waiting.answerByMs = nowMs + this.#options.answerMs
      if (answer.refusal) this.#onRefused(waiting, answer.refusal, nowMs)
    }
    this.poll(nowMs)
  }

  #onRefused(waiting: Waiting, refused: Refused, nowMs: number): void {
    waiting.lastRefused = refused
    switch (refused.reason) {
      case 'held':
      case 'recovering':
        waiting.askAgainAtMs = nowMs + refused.retry_after_ms
        return
      case 'fenced':
        waiting.askAgainAtMs = nowMs + fencedRestMs
        return
      case 'spent':
      case 'unknown_budget':
      case 'not_open':
        this.#leave(waiting, { outcome: 'refused', refused })
    }
  }

  /** Looks who can be served. Call it whenever money may have come back, and now and then. */
  poll(nowMs: number): void {
    const taken = new Set<WalletPool>()
    for (const waiting of [...this.#line.values()]) {
      if (this.#line.get(waiting.attemptId) !== waiting) continue
      const isFirst = waiting.needs.every(({ pool }) => !taken.has(pool))
      for (const { pool } of waiting.needs) taken.add(pool)
      if (isFirst && this.#serve(waiting, nowMs)) {
        for (const { pool } of waiting.needs) taken.delete(pool)
        continue
      }
      // What it is granted is for whoever is first.
      if (!isFirst && waiting.isPutOff) this.#ask(waiting, nowMs, true)
      this.#expire(waiting, nowMs)
    }
  }

  /** @returns whether it waits no longer */
  #serve(waiting: Waiting, nowMs: number): boolean {
    const { needs } = waiting
    const isShort = ({ pool, want }: Need) => pool.free < want
    // More is on its way.
    if (waiting.asks.size > 0 && needs.some(isShort)) return false
    const short = needs.filter(isShort)
    if (short.length > 0) this.#options.gather(short.map(({ pool }) => pool))
    const available = needs.map(({ pool, want }) => Math.min(want, pool.free))
    const hasAll = needs.every(({ want }, at) => available[at] === want)
    if (!hasAll && nowMs < waiting.wholeByMs && short.every(mayComeBack)) {
      // What is here is on its way to nobody else: those behind wait for the same.
      if (waiting.askAgainAtMs === 0) waiting.askAgainAtMs = nowMs + wholeAgainMs
      else if (nowMs >= waiting.askAgainAtMs) {
        waiting.askAgainAtMs = nowMs + wholeAgainMs
        this.#ask(waiting, nowMs, false)
      }
      return false
    }
    if (needs.every(({ need }, at) => (available[at] ?? 0) >= need)) {
      const amounts = hasAll ? available : waiting.fit ? waiting.fit(available) : available
      const wanted = amounts && needs.map((need, at) => ({ ...need, want: amounts[at] ?? 0 }))
      const hold = wanted && this.#wallet.hold(waiting.attemptId, wanted, nowMs, true)
      if (amounts && hold) {
        this.#leave(waiting, { outcome: 'held', hold, amounts })
        return true
      }
    }
    const mayAsk = waiting.asks.size === 0 && nowMs >= waiting.askAgainAtMs && nowMs < waiting.heldByMs
    if (mayAsk) this.#ask(waiting, nowMs, false)
    return false
  }

  #expire(waiting: Waiting, nowMs: number): void {
    const asked = waiting.needs.find(({ pool }) => pool.asking > 0)
    if (waiting.asks.size > 0 && nowMs >= waiting.answerByMs && asked) {
      this.#leave(waiting, { outcome: 'unanswered', pool: asked.pool })
      return
    }
    if (waiting.asks.size > 0) return
    const silent = waiting.isPutOff ? this.#silentPool(waiting, nowMs) : undefined
    if (silent) this.#leave(waiting, { outcome: 'unanswered', pool: silent })
    else if (nowMs >= waiting.heldByMs)
      this.#leave(waiting, { outcome: 'refused', refused: waiting.lastRefused ?? overtaken(waiting) })
  }

  /** Of a home that has answered nobody for as long as one may take. */
  #silentPool({ needs, sinceMs }: Waiting, nowMs: number): WalletPool | undefined {
    const { answerMs } = this.#options
    if (nowMs - sinceMs < answerMs) return undefined
    return needs.find(({ pool }) => this.#wallet.isSilent(pool.home, nowMs - answerMs))?.pool
  }

  #ask(waiting: Waiting, nowMs: number, isBehind: boolean): void {
    const asks = this.#wallet.ask(waiting.needs, nowMs, isBehind)
    waiting.isPutOff = asks === 'busy'
    if (asks === 'busy') return
    for (const ask of asks) {
      waiting.asks.add(ask.message.seq)
      this.#asked.set(ask.message.seq, waiting)
      waiting.answerByMs = nowMs + this.#options.answerMs
      this.#options.send(ask)
    }
  }

  /** Whoever waits under this id wants nothing any more. */
  giveUp(attemptId: string): void {
    const waiting = this.#line.get(attemptId)
    if (waiting) this.#leave(waiting, { outcome: 'left' })
  }

  #leave(waiting: Waiting, waited: Waited): void {
    this.#line.delete(waiting.attemptId)
    for (const seq of waiting.asks) this.#asked.delete(seq)
    for (const { pool } of waiting.needs) pool.waiting--
    waiting.done(waited)
  }
}

/** What is missing is not spent: gateways hold it. */
function mayComeBack({ pool, want }: Need): boolean {
  return want <= pool.left + pool.held
}

/** Homes have granted, and others have had it. */
function overtaken({ needs }: Waiting): Refused {
  const [first] = needs
  if (!first) throw new Error('nothing is needed')
  const { pool, need } = first
  return {
    reason: 'held',
    budget_id: pool.budgetId,
    copy: pool.copy,
    window_start_ms: pool.windowStartMs,
    limit: 0,
    spent: 0,
    held: 0,
    need,
    retry_after_ms: 0,
  }
}
