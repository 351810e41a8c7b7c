import type { LeaseAnswer, LeaseAsk } from '@sluice/contracts'
import type { Hold } from './hold.ts'
import type { Need, OpenAsk, Refused, Wallet } from './wallet.ts'
import type { WalletPool } from './wallet-pool.ts'

/**
 * How a wait for money has ended. `unanswered`: a home answers nobody, so nobody knows. `crowded`: it answers, and has not come to
 * this one in time. `left`: {@link WaitingLine.giveUp} was called.
 */
export type Waited =
  | { outcome: 'held'; hold: Hold; amounts: readonly number[] }
  | { outcome: 'refused'; refused: Refused }
  | { outcome: 'unanswered'; pool: WalletPool }
  | { outcome: 'crowded'; pool: WalletPool }
  | { outcome: 'left' }

/** A call for which leases had too little. */
export interface Wanting {
  attemptId: string
  needs: readonly Need[]
  /** How long it waits for money that others hold; absent: as the line says. */
  heldMs?: number
  /**
   * How long it waits for all that it wants, where others hold what is missing, before it takes less: no longer than for money that
   * others hold. Absent: not at all.
   */
  wholeMs?: number
  /**
   * How long it waits for the first word of a home that was heard of a moment ago: it is between two owners, or has others to answer
   * before. Absent: no longer than for any home.
   */
  ownerMs?: number
  /** What to hold of each pool where less is there than wanted; undefined: it is of no use. Absent: what is there. */
  fit?: (available: readonly number[]) => readonly number[] | undefined
  done: (waited: Waited) => void
}

/** This run has been followed by another: asking faster does not help it. */
const fencedRestMs = 500
/** A home that nobody has heard of for so long is not between two owners, but away. */
const mostBetweenOwnersMs = 5_000
/** Whoever wants more than it was granted asks again so often. */
const wholeAgainMs = 200

interface Waiting extends Wanting {
  sinceMs: number
  /** By their numbers, those that were not answered. */
  asks: Map<number, OpenAsk>
  /** Pools whose homes were busy when they were to be asked. */
  putOff: readonly WalletPool[]
  /** When the wait for an answer ends. */
  answerByMs: number
  /** When the wait for money that others hold ends. */
  heldByMs: number
  /** When it takes less than it wants. */
  wholeByMs: number
  /** It has seen what it needs at least, and waits for more. */
  isPatient: boolean
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
 * Calls that wait for money, in the order in which they came: who comes later gets nothing of a pool that an earlier one lacks,
 * unless that one could do with less and is left what it needs; of pools that it does not lack it is left what it wants. Bounded by time alone: how many may wait is the caller's to say
 * ({@link length}, `WalletPool.waiting`).
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
    const heldMs = wanting.heldMs ?? this.#options.heldMs
    const waiting: Waiting = {
      ...wanting,
      sinceMs: nowMs,
      asks: new Map(),
      putOff: [],
      answerByMs: nowMs + this.#options.answerMs,
      heldByMs: nowMs + heldMs,
      wholeByMs: nowMs + Math.min(wanting.wholeMs ?? 0, heldMs),
      isPatient: false,
      askAgainAtMs: 0,
      lastRefused: undefined,
    }
    // What is wanted by those who came before is not for this one.
    this.#ask(waiting, nowMs, ({ pool }) => Math.max(0, pool.free - pool.wanted))
    for (const { pool, want } of wanting.needs) {
      pool.waiting++
      pool.wanted += want
    }
    this.#line.set(waiting.attemptId, waiting)
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
      case 'other_copy':
        this.#leave(waiting, { outcome: 'refused', refused })
    }
  }

  /** Looks who can be served. Call it whenever money may have come back, and now and then. */
  poll(nowMs: number): void {
    const kept: Kept = new Map()
    /** Pools of which somebody lacks some: what comes back of them is for the first of those. */
    const lacking = new Set<WalletPool>()
    for (const waiting of [...this.#line.values()]) {
      if (this.#line.get(waiting.attemptId) !== waiting) continue
      const { needs } = waiting
      const isFirst = needs.every(({ pool }) => !lacking.has(pool))
      if (isFirst ? this.#serve(waiting, kept, nowMs) : this.#pass(waiting, kept, nowMs)) continue
      // What it is granted is for whoever is first.
      if (!isFirst && waiting.putOff.length > 0) this.#ask(waiting, nowMs, need => freeBeside(kept, need))
      if (this.#expire(waiting, kept, nowMs)) continue
      const couldDo = nowMs < waiting.wholeByMs && (waiting.isPatient || !isFirst)
      const doesWith = couldDo && needs.every(each => each.need <= freeBeside(kept, each))
      // Of what it does not lack it keeps what it wants, and no more: others have no part in what it waits for.
      const keeps = needs.map(each => {
        if (each.want <= freeBeside(kept, each)) return each.want
        lacking.add(each.pool)
        return doesWith ? each.need : Number.POSITIVE_INFINITY
      })
      for (const [at, { pool }] of needs.entries()) kept.set(pool, (kept.get(pool) ?? 0) + (keeps[at] ?? 0))
    }
  }

  /** @returns whether it waits no longer */
  #serve(waiting: Waiting, kept: Kept, nowMs: number): boolean {
    const { needs } = waiting
    const isShort = (each: Need) => freeBeside(kept, each) < each.want
    const isStale = needs.some(({ pool }) => !this.#wallet.isFresh(pool, nowMs))
    // More is on its way, or a home has yet to be heard of.
    if (waiting.asks.size > 0 && (isStale || needs.some(isShort))) return false
    const short = needs.filter(isShort)
    if (short.length > 0) this.#options.gather(short.map(({ pool }) => pool))
    const available = needs.map(each => Math.min(each.want, freeBeside(kept, each)))
    const hasAll = needs.every(({ want }, at) => available[at] === want)
    if (!hasAll && nowMs < waiting.wholeByMs && short.every(mayComeBack)) {
      waiting.isPatient = needs.every(({ need }, at) => (available[at] ?? 0) >= need)
      if (waiting.askAgainAtMs === 0) waiting.askAgainAtMs = nowMs + wholeAgainMs
      else if (nowMs >= waiting.askAgainAtMs) {
        waiting.askAgainAtMs = nowMs + wholeAgainMs
        this.#ask(waiting, nowMs, need => freeBeside(kept, need))
      }
      return false
    }
    if (this.#take(waiting, kept, nowMs)) return true
    const mayAsk = waiting.asks.size === 0 && nowMs >= waiting.askAgainAtMs && nowMs < this.#waitsUntilMs(waiting)
    if (mayAsk) this.#ask(waiting, nowMs, need => freeBeside(kept, need))
    return false
  }

  /** Whoever finds all that it wants beside what those ahead need waits for nobody. */
  #pass(waiting: Waiting, kept: Kept, nowMs: number): boolean {
    return waiting.needs.every(each => each.want <= freeBeside(kept, each)) && this.#take(waiting, kept, nowMs)
  }

  /** @returns false: what is here beside what those ahead keep is too little for it */
  #take(waiting: Waiting, kept: Kept, nowMs: number): boolean {
    const { attemptId, needs, fit } = waiting
    const available = needs.map(each => Math.min(each.want, freeBeside(kept, each)))
    if (needs.some(({ need }, at) => (available[at] ?? 0) < need)) return false
    const hasAll = needs.every(({ want }, at) => available[at] === want)
    const amounts = hasAll || !fit ? available : fit(available)
    if (!amounts) return false
    const wanted = needs.map((need, at) => ({ ...need, want: amounts[at] ?? 0 }))
    const hold = this.#wallet.hold(attemptId, wanted, nowMs, true)
    if (!hold) return false
    this.#leave(waiting, { outcome: 'held', hold, amounts })
    return true
  }

  /** @returns whether its wait is over */
  #expire(waiting: Waiting, kept: Kept, nowMs: number): boolean {
    const silent = this.#silentPool(waiting, nowMs)
    // Its home has let it have what it needs, and was asked for the rest alone.
    if (waiting.isPatient && (silent || isLate(waiting, nowMs)) && this.#take(waiting, kept, nowMs)) return true
    if (silent) {
      this.#leave(waiting, { outcome: 'unanswered', pool: silent })
      return true
    }
    if (nowMs < this.#waitsUntilMs(waiting) || this.#mayBeAnswered(waiting, nowMs)) return false
    // Behind one that waits for more than it needs, less than all is better than nothing.
    if (this.#take(waiting, kept, nowMs)) return true
    const unheard = isUnheard(waiting) ? waiting.needs.find(need => isOpen(need, waiting)) : undefined
    if (unheard) this.#leave(waiting, { outcome: 'crowded', pool: unheard.pool })
    else this.#leave(waiting, { outcome: 'refused', refused: waiting.lastRefused ?? overtaken(waiting) })
    return true
  }

  /** Nobody has said yet that others hold what it wants: its home has too much to answer, and gets the time that it would to change owners. */
  #waitsUntilMs(waiting: Waiting): number {
    const { heldByMs, sinceMs, ownerMs = this.#options.answerMs } = waiting
    return isUnheard(waiting) ? Math.max(heldByMs, sinceMs + ownerMs) : heldByMs
  }

  /** What it has asked may still be answered in time, or its home has fallen silent and is between two owners. */
  #mayBeAnswered(waiting: Waiting, nowMs: number): boolean {
    if (!isLate(waiting, nowMs)) return waiting.asks.size > 0
    const isSilent = ({ pool }: Need) => !this.#wallet.hasAnswered(pool.home, nowMs - this.#options.answerMs)
    return waiting.needs.some(
      need => isOpen(need, waiting) && isSilent(need) && this.#isBetweenOwners(need, waiting, nowMs),
    )
  }

  /** Of a home that has answered neither it nor anybody else since it came. One that stumbles is there all the same. */
  #silentPool(waiting: Waiting, nowMs: number): WalletPool | undefined {
    const { needs, putOff, sinceMs } = waiting
    const isPutOffLong = putOff.length > 0 && nowMs >= sinceMs + this.#options.answerMs
    if (!isLate(waiting, nowMs) && !isPutOffLong) return undefined
    const isSilent = (need: Need) => isOpen(need, waiting) && !this.#wallet.hasAnswered(need.pool.home, sinceMs)
    return needs.find(need => isSilent(need) && !this.#isBetweenOwners(need, waiting, nowMs))?.pool
  }

  #isBetweenOwners({ pool }: Need, { sinceMs, ownerMs = 0 }: Waiting, nowMs: number): boolean {
    return nowMs < sinceMs + ownerMs && this.#wallet.wasHeard(pool.home, nowMs - mostBetweenOwnersMs)
  }

  #ask(waiting: Waiting, nowMs: number, freeFor: (need: Need) => number): void {
    const { asks, busy } = this.#wallet.ask(waiting.needs, nowMs, freeFor)
    waiting.putOff = busy
    for (const ask of asks) {
      waiting.asks.set(ask.message.seq, ask)
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
    for (const seq of waiting.asks.keys()) this.#asked.delete(seq)
    for (const { pool, want } of waiting.needs) {
      pool.waiting--
      pool.wanted -= want
    }
    waiting.done(waited)
  }
}

/** Its homes have said nothing of what it asks, or were too busy to be asked. */
function isUnheard({ asks, putOff, lastRefused }: Waiting): boolean {
  return (putOff.length > 0 || asks.size > 0) && lastRefused === undefined
}

/** What it has asked has not been answered in time. */
function isLate({ asks, answerByMs }: Waiting, nowMs: number): boolean {
  return asks.size > 0 && nowMs >= answerByMs
}

/** It waits for what the home of this pool says, and not only for others beside it. */
function isOpen({ pool }: Need, { asks, putOff }: Waiting): boolean {
  return putOff.includes(pool) || [...asks.values()].some(({ message }) => message.items.some(item => isOf(item, pool)))
}

function isOf(item: LeaseAsk['items'][number], { budgetId, copy, windowStartMs }: WalletPool): boolean {
  return item.budget_id === budgetId && item.copy === copy && item.window_start_ms === windowStartMs
}

/** What those ahead in the line keep of each pool. */
type Kept = Map<WalletPool, number>

function freeBeside(kept: Kept, { pool }: Need): number {
  return Math.max(0, pool.free - (kept.get(pool) ?? 0))
}

/** What is missing is not spent: gateways hold it. */
function mayComeBack({ pool, want }: Need): boolean {
  return want <= pool.left + pool.held
}

/** Homes have granted, and others have had it. */
function overtaken({ needs }: Waiting): Refused {
  const short =
    needs.find(({ pool, want }) => pool.free < want) ?? needs.find(({ pool }) => pool.waiting > 1) ?? needs[0]
  if (!short) throw new Error('nothing is needed')
  const { pool, need } = short
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
