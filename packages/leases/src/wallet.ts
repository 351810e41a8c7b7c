import {
  type DrawnMoney,
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseHeartbeat,
  type LeaseReceipt,
  type LeaseReport,
  type LeaseTotals,
  leaseIdOf,
  leaseNameOf,
} from '@sluice/contracts'
import { DrawnRow, type HeldItem, Hold, type LeaseRow, type PoolSet } from './hold.ts'
import { poolKey } from './pool.ts'
import { freeOf, type PoolName, totalsOf, unresolvedOf, type WalletLease, WalletPool } from './wallet-pool.ts'

/** What one call needs of one pool. */
export interface Need {
  readonly pool: WalletPool
  /** The most that the call can use. */
  readonly want: number
  /** Less than this is of no use. */
  readonly need: number
}

/** For an attempt's CLOSE. */
export interface SettledHold {
  /** What it held of each pool, what it has used of each lease, and what that lease has settled in all. */
  drawn: DrawnMoney[]
  /** Says that instead, where it was of a row; see {@link drawnIn}. */
  row: DrawnRow | undefined
  /** `[lease, amount]`: what it may have used beyond that. */
  unresolved: [string, number][]
  /** `[lease, amount]`: what of it its holder has from now on. */
  handed: [string, number][]
}

/** What an attempt has drawn, as its event says it. */
export function drawnIn({ drawn, row }: Pick<SettledHold, 'drawn' | 'row'>): DrawnMoney[] {
  return row ? row.drawn : drawn
}

/** How an attempt is settled, and where that is told. */
interface SettledAttempt {
  attemptId: string
  staysOpen: boolean
  holder: string | undefined
  settled: SettledHold
}

export interface WalletOptions {
  gatewayId: string
  epoch: number
  /** Without an answered heartbeat for so long, nothing new is held. It frees nothing. */
  ttlMs?: number
  /** The pool of the window behind this one's; undefined: nothing is leased for it before it begins. */
  nextOf?: (pool: PoolName) => PoolName | undefined
}

export type Refused = NonNullable<LeaseAnswer['refusal']>

/** An ask that is not answered. It is sent again, the same, until it is. */
export interface OpenAsk {
  readonly home: number
  readonly message: LeaseAsk
  sentAtMs: number
}

/** What was asked for a call. */
export interface Asked {
  asks: OpenAsk[]
  /** What is missing of these has to wait, and nothing was asked: their homes have enough to answer. */
  busy: readonly WalletPool[]
}

/** Idle money is kept for no longer than this. */
const mostIdleMs = 10 * 60_000
/** …and for this at least, however often a pool is used. */
const leastIdleMs = 60_000
/** …and for so many times the usual time between calls: of calls that come at random one in a hundred and fifty finds it gone. */
const idleGaps = 5
/** Of what was used once nobody knows when it will be used again. */
const onceUsedIdleMs = 5 * 60_000
/** More than this part of what is left goes back at once. */
const idleShare = 20
const idleRestMs = 5_000
/** The next window's lease is asked for so long before it begins: homes grant it no earlier than 5 s before. */
const windowAheadMs = 4_000
/** …of pools that were used within this time. */
const recentlyUsedMs = 5 * 60_000
const mostItems = 32
/** Leases that one heartbeat calls idle, or no longer so. */
const mostIdle = 5_000
const allFree = ({ pool }: Need): number => pool.free
const nothingSpare: ReadonlyMap<WalletLease, number> = new Map()
/** Asks ahead of windows that are under way at a time: half of what a home is asked at once, the rest is for calls. */
const mostAheadAsks = 8
/** Of one home, the same for money ahead of calls. */
const mostAheadOfHome = 12
/** No more than this part of what is left is given ahead, where four gateways share it. */
const mostAheadShare = 16
/** Asks of one home that are under way at a time: each is said again until it is answered, and a home that is late is later with each. */
const mostAsks = 16

/**
 * What a run of a gateway holds of hard budgets: leases from their homes, out of which calls hold money without asking anyone.
 * No I/O and no clock: messages go out by return values, answers come in by calls.
 */
export class Wallet {
  readonly #options: Required<WalletOptions>
  readonly #pools = new Map<string, WalletPool>()
  /** By budget and copy, the pool that was looked up last: calls of one moment share a window. */
  readonly #latest = new Map<string, Map<string, WalletPool>>()
  readonly #leases = new Map<string, WalletLease>()
  readonly #asks = new Map<number, OpenAsk>()
  /** How many of them are each home's. */
  readonly #asking = new Map<number, number>()
  /** How long each home usually takes to answer. */
  readonly #roundTripMs = new Map<number, number>()
  /** When each home has answered one last. */
  readonly #answeredAtMs = new Map<number, number>()
  readonly #dirty = new Map<number, Set<WalletLease>>()
  /** When the last heartbeat that its home has answered was sent. */
  readonly #renewedAtMs = new Map<number, number>()
  /** By home: what its last heartbeat says of leases, and when that was sent. */
  readonly #said = new Map<number, { atMs: number; changes: [WalletLease, boolean][] }>()
  #lastSeq = 0

  constructor(options: WalletOptions) {
    this.#options = { ttlMs: 60_000, nextOf: () => undefined, ...options }
  }

  /** The pool of this name. */
  pool(name: PoolName): WalletPool {
    const key = poolKey(name.budgetId, name.copy, name.windowStartMs)
    let pool = this.#pools.get(key)
    if (!pool) {
      pool = new WalletPool(name)
      this.#pools.set(key, pool)
    }
    const copies = this.#latest.get(name.budgetId)
    if (copies) copies.set(name.copy, pool)
    else this.#latest.set(name.budgetId, new Map([[name.copy, pool]]))
    return pool
  }

  /**
   * The pool of a budget's copy in whose window an instant lies, where it is known. Undefined says nothing: {@link pool} finds it by its
   * name, which costs more.
   */
  poolAt(budgetId: string, copy: string, atMs: number): WalletPool | undefined {
    const pool = this.#latest.get(budgetId)?.get(copy)
    return pool?.covers(atMs) ? pool : undefined
  }

  #forgetPool(key: string, { budgetId, copy }: WalletPool): void {
    const pool = this.#pools.get(key)
    if (pool) pool.isForgotten = true
    this.#pools.delete(key)
    const copies = this.#latest.get(budgetId)
    if (copies?.get(copy) !== pool) return
    copies?.delete(copy)
    if (copies?.size === 0) this.#latest.delete(budgetId)
  }

  /** Whether money of this pool may be held: its home has been heard of lately. */
  isFresh(pool: WalletPool, nowMs: number): boolean {
    return nowMs < this.#endOfTtl(pool)
  }

  #endOfTtl({ home }: WalletPool): number {
    return (this.#renewedAtMs.get(home) ?? Number.NEGATIVE_INFINITY) + this.#options.ttlMs
  }

  /**
   * Holds all that is wanted, or nothing (undefined): some pool has too little beside what those who wait want of it, or its leases have
   * come to the end of their ttl.
   * @param first the caller goes before those who wait: it has waited longest, or runs already
   */
  hold(attemptId: string, needs: readonly Need[], nowMs: number, first = false): Hold | undefined {
    let freshHome: number | undefined
    for (const { pool, want } of needs) {
      if (nowMs >= pool.recalledUntilMs) this.#endRecalled(pool, nowMs)
      if (pool.free < want + (first ? 0 : pool.wanted)) return undefined
      if (pool.home !== freshHome && !this.isFresh(pool, nowMs)) return undefined
      freshHome = pool.home
    }
    return this.#holdOf(attemptId, needs, nowMs)
  }

  /**
   * Holds these amounts of the oldest lease of each pool, which nearly always has as much. Undefined says no more than that one has not,
   * or has to be looked at: {@link hold} does that.
   */
  holdOfOldest(attemptId: string, set: PoolSet, amounts: readonly number[], nowMs: number): Hold | undefined {
    const row = set.oldest()
    if (!row) return undefined
    const { pools, leases } = row
    let freshHome: number | undefined
    for (let at = 0; at < pools.length; at++) {
      const pool = pools[at]
      const lease = leases[at]
      const amount = amounts[at]
      if (!pool || !lease || !amount || nowMs >= pool.recalledUntilMs) return undefined
      if (pool.free < amount + pool.wanted || freeOf(lease) < amount) return undefined
      if (pool.home !== freshHome && !this.isFresh(pool, nowMs)) return undefined
      freshHome = pool.home
    }
    for (let at = 0; at < pools.length; at++) {
      const pool = pools[at]
      const lease = leases[at]
      const amount = amounts[at]
      if (!pool || !lease || !amount) continue
      lease.held += amount
      pool.free -= amount
      pool.use(amount, nowMs)
    }
    return Hold.ofRow(attemptId, row, amounts)
  }

  /**
   * Holds more for an attempt that runs, before those who wait, or nothing (undefined). The end of a ttl does not stop it: it then gets
   * what is free of leases that it holds some of already, and of no other.
   * @param held all that it holds, with an item for each of these needs
   */
  extend(attemptId: string, held: readonly Hold[], needs: readonly Need[], nowMs: number): Hold | undefined {
    const leases = needs.map(({ pool }, at) => {
      if (nowMs >= pool.recalledUntilMs) this.#endRecalled(pool, nowMs)
      if (this.isFresh(pool, nowMs)) return pool.leases
      const own = new Set(held.flatMap(({ items }) => items[at]?.parts.map(({ lease }) => lease) ?? []))
      return pool.leases.filter(lease => own.has(lease))
    })
    const isShort = needs.some(({ want }, at) => want > freeIn(leases[at] ?? []))
    return isShort ? undefined : this.#holdOf(attemptId, needs, nowMs, leases)
  }

  /** @param leases for each need, of which leases; absent: of all that its pool has */
  #holdOf(
    attemptId: string,
    needs: readonly Need[],
    nowMs: number,
    leases?: readonly (readonly WalletLease[])[],
  ): Hold {
    const items = needs.map(({ pool, want }, at) => {
      const item = this.#itemOf(pool, want, leases?.[at] ?? pool.leases)
      // An extension takes nothing of requests and slots: that says nothing of the next call.
      if (want > 0) pool.use(want, nowMs)
      return item
    })
    return Hold.ofItems(attemptId, items)
  }

  /** Takes money of leases that have as much: nearly always the first has. */
  #itemOf(pool: WalletPool, amount: number, leases: readonly WalletLease[]): HeldItem {
    const lease = leases[0]
    if (amount > 0 && lease && freeOf(lease) >= amount) {
      lease.held += amount
      pool.free -= amount
      return { pool, amount, parts: [{ lease, amount }] }
    }
    const item: HeldItem = { pool, amount: 0, parts: [] }
    this.#take(item, amount, leases)
    return item
  }

  #take(item: HeldItem, amount: number, leases: readonly WalletLease[]): void {
    let rest = amount
    for (const lease of leases) {
      if (rest === 0) break
      const part = Math.min(rest, freeOf(lease))
      if (part === 0) continue
      lease.held += part
      const known = item.parts.length === 0 ? undefined : item.parts.find(each => each.lease === lease)
      if (known) known.amount += part
      else item.parts.push({ lease, amount: part })
      rest -= part
    }
    item.pool.free -= amount - rest
    item.amount += amount - rest
    if (rest > 0) throw new Error(`pool of budget ${item.pool.budgetId} has less than it says`)
  }

  /**
   * Settles an attempt: what it used goes out of its leases, the rest is free again at once.
   * @param used by item; above what is held where the attempt was above its bound
   * @param isUnresolved by item, or of all: its end was not measured, so what it held and was not settled may have been used all
   * the same
   * @param holder what it has begun outlives it: whatever it did not use is handed over. Slots are not
   */
  settle(
    hold: Hold,
    used: readonly number[],
    isUnresolved: boolean | readonly boolean[],
    holder?: string,
  ): SettledHold {
    if (hold.isSettled) throw new Error(`hold of attempt ${hold.attemptId} is settled already`)
    hold.isSettled = true
    const { row } = hold
    if (row && isUnresolved === false && holder === undefined) return this.#settleRow(row, hold.amounts, used)
    const settled: SettledHold = { drawn: [], row: undefined, unresolved: [], handed: [] }
    for (let at = 0; at < hold.items.length; at++) {
      const item = hold.items[at]
      if (!item) continue
      const { pool, amount } = item
      const staysOpen = typeof isUnresolved === 'boolean' ? isUnresolved : (isUnresolved[at] ?? false)
      const about = { attemptId: hold.attemptId, staysOpen, holder, settled }
      const parts = this.#settleItem(item, pool.isConcurrent ? 0 : (used[at] ?? 0), about)
      settled.drawn.push([pool.label, amount, parts])
    }
    return settled
  }

  /** Each lease is all that is held of its pool, and what is not used is free again. */
  #settleRow(row: LeaseRow, held: readonly number[], wasUsed: readonly number[]): SettledHold {
    const { pools, leases } = row
    const used: number[] = []
    const totals: number[] = []
    for (let at = 0; at < pools.length; at++) {
      const pool = pools[at]
      const lease = leases[at]
      if (!pool || !lease) continue
      const amount = pool.isConcurrent ? 0 : (wasUsed[at] ?? 0)
      const before = freeOf(lease)
      lease.held -= held[at] ?? 0
      lease.settled += amount
      const free = freeOf(lease)
      pool.free += free - before
      if (amount > 0) this.#touch(lease)
      if (free === 0) this.#finish(lease)
      used.push(amount)
      totals.push(lease.settled)
    }
    return { drawn: [], row: new DrawnRow(row, held, used, totals), unresolved: [], handed: [] }
  }

  /** @returns what was used of each lease; of slots nothing is */
  #settleItem({ pool, parts }: HeldItem, used: number, about: SettledAttempt): DrawnMoney[2] {
    const only = parts.length === 1 ? parts[0] : undefined
    if (only) {
      this.#settlePart(pool, only, used, about)
      return pool.isConcurrent ? [] : [[only.lease.name, used, only.lease.settled]]
    }
    const drawn: DrawnMoney[2] = []
    let rest = used
    for (const part of parts) {
      // What is above the bound has to stand somewhere.
      const amount = part === parts.at(-1) ? rest : Math.min(rest, part.amount)
      rest -= amount
      this.#settlePart(pool, part, amount, about)
      if (!pool.isConcurrent) drawn.push([part.lease.name, amount, part.lease.settled])
    }
    return drawn
  }

  /** @param amount what of it was used */
  #settlePart(
    pool: WalletPool,
    part: HeldItem['parts'][number],
    amount: number,
    { attemptId, staysOpen, holder, settled }: SettledAttempt,
  ): void {
    const { lease } = part
    const before = freeOf(lease)
    lease.held -= part.amount
    lease.settled += amount
    const open = pool.isConcurrent ? 0 : part.amount - amount
    if (holder !== undefined && open > 0) {
      lease.returned += open
      lease.handed.set(holder, open)
      settled.handed.push([lease.leaseId, open])
    } else if (staysOpen && open > 0) {
      lease.unresolved.set(attemptId, open)
      settled.unresolved.push([lease.leaseId, open])
    }
    const free = freeOf(lease)
    pool.free += free - before
    if (amount > 0 || staysOpen || holder !== undefined) this.#touch(lease)
    if (free === 0) this.#finish(lease)
  }

  /**
   * Makes what a running attempt holds of one pool smaller. The rest is free at once; what is held now must pay for its end. The least
   * amount there is stays in any case: what is used beyond it would be told of a lease that is closed.
   */
  lower(item: HeldItem, toAmount: number): void {
    const least = Math.max(1, toAmount)
    for (const part of [...item.parts].reverse()) {
      const less = Math.min(part.amount, item.amount - least)
      if (less <= 0) continue
      const { lease } = part
      const before = freeOf(lease)
      part.amount -= less
      lease.held -= less
      item.amount -= less
      item.pool.free += freeOf(lease) - before
      if (part.amount === 0 && item.parts.length > 1) item.parts.splice(item.parts.indexOf(part), 1)
      this.#finish(lease)
    }
  }

  /** Gives back what an attempt holds that was never sent. */
  release(hold: Hold): void {
    if (!hold.isSettled) this.settle(hold, [], false)
  }

  // ── asks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Asks for what is missing to hold these needs, one ask a home. The messages are in {@link openAsks} until answered.
   * @param freeFor what is here for it; absent: all that is free
   */
  ask(needs: readonly Need[], nowMs: number, freeFor: (need: Need) => number = allFree): Asked {
    const byHome = new Map<number, LeaseAsk['items']>()
    const pools: WalletPool[] = []
    const busy: WalletPool[] = []
    for (const each of needs) {
      const { pool, want, need } = each
      const free = freeFor(each)
      const isOver = pool.isOver(nowMs)
      // Its home has to be heard of, if nothing else.
      if (free >= want && this.isFresh(pool, nowMs)) continue
      if (this.#isBusy(pool.home)) {
        busy.push(pool)
        continue
      }
      const items = byHome.get(pool.home) ?? []
      items.push({
        budget_id: pool.budgetId,
        copy: pool.copy,
        window_start_ms: pool.windowStartMs,
        need: Math.max(0, need - free),
        want: Math.max(0, want - free),
        ...(free > 0 && { have: Math.min(free, need) }),
        ahead: pool.isConcurrent || isOver ? 0 : aheadOf(pool, want),
        ...(isOver && { late: true as const }),
      })
      byHome.set(pool.home, items)
      pools.push(pool)
    }
    if (busy.length > 0) return { asks: [], busy }
    for (const pool of pools) pool.asking++
    return { asks: [...byHome].map(([home, items]) => this.#open(home, items, nowMs)), busy }
  }

  /** A home has answered an ask since then. */
  hasAnswered(home: number, sinceMs: number): boolean {
    return (this.#answeredAtMs.get(home) ?? Number.NEGATIVE_INFINITY) > sinceMs
  }

  /** A home has answered something since then. */
  wasHeard(home: number, sinceMs: number): boolean {
    const heardAtMs = Math.max(this.#answeredAtMs.get(home) ?? 0, this.#renewedAtMs.get(home) ?? 0)
    return heardAtMs >= sinceMs
  }

  #isBusy(home: number): boolean {
    return (this.#asking.get(home) ?? 0) >= mostAsks
  }

  /**
   * Asks for money ahead of the next calls, of those pools in which they would not find enough until the answer is here. One ask a home:
   * each costs it more than what is in it.
   */
  askAhead(pools: Iterable<WalletPool>, nowMs: number): OpenAsk[] {
    let byHome: Map<number, LeaseAsk['items']> | undefined
    for (const pool of pools) {
      if (pool.free >= pool.lastWant && pool.free >= this.#takenMeanwhile(pool, nowMs)) continue
      if (pool.asking > 0 || pool.isConcurrent || pool.isOver(nowMs) || !mayKeep(pool, pool.lastWant)) continue
      if ((this.#asking.get(pool.home) ?? 0) >= mostAheadOfHome) continue
      pool.asking++
      byHome ??= new Map()
      const items = byHome.get(pool.home) ?? []
      items.push({
        budget_id: pool.budgetId,
        copy: pool.copy,
        window_start_ms: pool.windowStartMs,
        need: 0,
        want: Math.max(0, pool.lastWant - pool.free),
        ahead: aheadOf(pool, pool.lastWant),
      })
      byHome.set(pool.home, items)
    }
    return byHome ? [...byHome].map(([home, items]) => this.#open(home, items, nowMs)) : []
  }

  /** What calls take of a pool until its home has answered, or as much of it as a home gives ahead. */
  #takenMeanwhile(pool: WalletPool, nowMs: number): number {
    const roundTripMs = this.#roundTripMs.get(pool.home) ?? 0
    return Math.min(pool.takenWithin(2 * roundTripMs, nowMs), Math.floor(pool.left / mostAheadShare))
  }

  /**
   * Asks for windows that begin in a few seconds, of pools that were used lately: the first calls in them find money. Call it each
   * second; what is too much for one time is asked for at the next.
   */
  askNextWindows(nowMs: number): OpenAsk[] {
    const byHome = new Map<number, LeaseAsk['items']>()
    const asks: OpenAsk[] = []
    for (const pool of this.#pools.values()) {
      if (!isBeforeNext(pool, nowMs)) continue
      if (this.#asks.size + byHome.size >= mostAheadAsks) break
      pool.isFollowed = true
      const name = this.#options.nextOf(pool)
      if (!name) continue
      const next = this.pool(name)
      if (next.asking > 0 || next.free > 0) continue
      next.asking++
      const items = byHome.get(next.home) ?? []
      items.push({
        budget_id: next.budgetId,
        copy: next.copy,
        window_start_ms: next.windowStartMs,
        need: 0,
        want: pool.lastWant,
        ahead: pool.ahead(pool.lastWant),
      })
      byHome.set(next.home, items)
      if (items.length < mostItems) continue
      asks.push(this.#open(next.home, items, nowMs))
      byHome.delete(next.home)
    }
    for (const [home, items] of byHome) asks.push(this.#open(home, items, nowMs))
    return asks
  }

  #open(home: number, items: LeaseAsk['items'], nowMs: number): OpenAsk {
    const { gatewayId, epoch } = this.#options
    const seq = ++this.#lastSeq
    // Any order of locks is the same in all asks.
    items.sort((a, b) => (a.budget_id === b.budget_id ? compare(a.copy, b.copy) : compare(a.budget_id, b.budget_id)))
    const ask: OpenAsk = {
      home,
      message: { gateway_id: gatewayId, epoch, at_ms: nowMs, seq, items },
      sentAtMs: nowMs,
    }
    this.#asks.set(seq, ask)
    this.#asking.set(home, (this.#asking.get(home) ?? 0) + 1)
    return ask
  }

  /** Asks without an answer, oldest first. */
  get openAsks(): readonly OpenAsk[] {
    return [...this.#asks.values()]
  }

  /** Takes the answer of an ask: once; what comes again, or for an ask that is not open, changes nothing. */
  answer(answer: LeaseAnswer, nowMs: number): void {
    const ask = this.#asks.get(answer.seq)
    if (!ask) return
    this.#asks.delete(answer.seq)
    this.#asking.set(ask.home, (this.#asking.get(ask.home) ?? 1) - 1)
    this.#answeredAtMs.set(ask.home, nowMs)
    const tookMs = Math.max(0, nowMs - ask.sentAtMs)
    const usualMs = this.#roundTripMs.get(ask.home) ?? tookMs
    this.#roundTripMs.set(ask.home, usualMs + (tookMs - usualMs) / 8)
    for (const [at, item] of ask.message.items.entries()) {
      const pool = this.#pools.get(poolKey(item.budget_id, item.copy, item.window_start_ms))
      const grant = answer.grants[at]
      if (!pool) continue
      pool.asking--
      if (!grant) continue
      pool.left = grant.left
      pool.held = grant.held ?? 0
      if (grant.amount === 0) continue
      const { gatewayId, epoch } = this.#options
      const lease: WalletLease = {
        leaseId: leaseIdOf(gatewayId, epoch, answer.seq, at),
        name: leaseNameOf(answer.seq, at),
        askSeq: answer.seq,
        pool,
        granted: grant.amount,
        settled: 0,
        returned: 0,
        held: 0,
        unresolved: new Map(),
        handed: new Map(),
        version: 0,
        isDirty: false,
        isUnknown: false,
        isDone: false,
        isToldIdle: false,
        lastsUntilMs: Number.POSITIVE_INFINITY,
      }
      this.#leases.set(lease.leaseId, lease)
      pool.add(lease)
    }
    const home = this.#renewedAtMs.get(ask.home)
    // Its home knew this run when it answered.
    if (answer.refusal?.reason !== 'fenced')
      this.#renewedAtMs.set(ask.home, Math.max(home ?? Number.NEGATIVE_INFINITY, Math.min(ask.sentAtMs, nowMs)))
  }

  // ── returns ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gives back what no call holds of these leases, also where calls wait: what is there is too little for the first of them, and two
   * gateways that each keep a little would both have too little for ever.
   */
  recall(leaseIds: readonly string[]): void {
    for (const leaseId of leaseIds) {
      const lease = this.#leases.get(leaseId)
      if (!lease) continue
      const { pool } = lease
      // No heartbeat renews it from here on.
      lease.lastsUntilMs = Math.min(lease.lastsUntilMs, this.#endOfTtl(pool))
      pool.recalledUntilMs = Math.min(pool.recalledUntilMs, lease.lastsUntilMs)
      this.#giveBack(lease)
    }
  }

  /** Gives back what is free of leases that were called back and have come to the end of their ttl. */
  #endRecalled(pool: WalletPool, nowMs: number): void {
    let untilMs = Number.POSITIVE_INFINITY
    for (const lease of [...pool.leases]) {
      if (lease.lastsUntilMs <= nowMs) this.#giveBack(lease)
      if (!lease.isDone) untilMs = Math.min(untilMs, lease.lastsUntilMs)
    }
    pool.recalledUntilMs = untilMs
  }

  /** The pools of these leases, as far as this run has them. */
  poolsOf(leaseIds: readonly string[]): Set<WalletPool> {
    return new Set(leaseIds.flatMap(leaseId => this.#leases.get(leaseId)?.pool ?? []))
  }

  /** Gives back what will not be needed: of windows that are over, and what has been idle for too long or is too much. */
  returnIdle(nowMs: number): void {
    for (const [key, pool] of this.#pools) {
      const isOver = pool.isOver(nowMs)
      if (isOver || this.#isIdle(pool, nowMs)) for (const lease of [...pool.leases]) this.#giveBack(lease)
      if (pool.lastUsedMs === 0) pool.lastUsedMs = nowMs
      const isForgotten = isOver || nowMs - pool.lastUsedMs > mostIdleMs
      if (isForgotten && pool.leases.length === 0 && pool.asking === 0 && pool.waiting === 0)
        this.#forgetPool(key, pool)
    }
  }

  #isIdle(pool: WalletPool, nowMs: number): boolean {
    if (pool.free === 0 || pool.waiting > 0 || pool.asking > 0) return false
    const idleMs = nowMs - pool.lastUsedMs
    const keptMs = pool.gapMs === undefined ? onceUsedIdleMs : Math.max(leastIdleMs, idleGaps * pool.gapMs)
    if (idleMs > Math.min(mostIdleMs, keptMs)) return true
    return idleMs > idleRestMs && pool.free * idleShare > pool.left
  }

  #giveBack(lease: WalletLease): void {
    const free = freeOf(lease)
    if (free > 0) {
      lease.returned += free
      lease.pool.free -= free
      this.#touch(lease)
    }
    this.#finish(lease)
  }

  /** A lease of which nothing is free and nothing held will not be used again. */
  #finish(lease: WalletLease): void {
    if (lease.isDone || lease.held > 0 || freeOf(lease) > 0) return
    lease.isDone = true
    lease.pool.remove(lease)
    this.#touch(lease)
  }

  #touch(lease: WalletLease): void {
    lease.version++
    if (lease.isDirty) return
    lease.isDirty = true
    const dirty = this.#dirty.get(lease.pool.home)
    if (dirty) dirty.add(lease)
    else this.#dirty.set(lease.pool.home, new Set([lease]))
  }

  // ── reports and heartbeats ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * What homes have not answered yet, at most a thousand leases a home. What it tells must be safe on disk before it is sent:
   * a journal that knows less than the home could settle an attempt twice.
   */
  reports(nowMs: number): { home: number; message: LeaseReport }[] {
    const { gatewayId, epoch } = this.#options
    const reports: { home: number; message: LeaseReport }[] = []
    for (const [home, dirty] of this.#dirty) {
      if (dirty.size === 0) continue
      const leases: LeaseTotals[] = []
      for (const lease of dirty) {
        leases.push(totalsOf(lease, epoch))
        if (leases.length === 1_000) break
      }
      reports.push({ home, message: { gateway_id: gatewayId, epoch, at_ms: nowMs, leases } })
    }
    return reports
  }

  /** A report was committed by its home. */
  reported(home: number, { leases }: LeaseReport, receipt: LeaseReceipt): void {
    const dirty = this.#dirty.get(home)
    for (const { lease_id: leaseId, version } of leases) {
      const lease = this.#leases.get(leaseId)
      if (!lease || lease.version !== version) continue
      dirty?.delete(lease)
      lease.isDirty = false
      if (lease.isDone) this.#leases.delete(leaseId)
    }
    this.#markUnknown(receipt.unknown)
  }

  /**
   * One heartbeat a home that this run has leases of: which of them have become idle, and which are so no longer, since one that was
   * answered. `isWhole`: with every lease, in as many messages as that takes: each is sent when the one before it was answered and
   * nothing of it was unknown.
   * @param spare what running attempts hold of leases and would give back
   */
  heartbeats(
    nowMs: number,
    isWhole: boolean,
    spare: ReadonlyMap<WalletLease, number> = nothingSpare,
  ): { home: number; messages: LeaseHeartbeat[] }[] {
    const { gatewayId, epoch } = this.#options
    const byHome = new Map<number, WalletLease[]>()
    for (const lease of this.#leases.values()) {
      const leases = byHome.get(lease.pool.home)
      if (leases) leases.push(lease)
      else byHome.set(lease.pool.home, [lease])
    }
    for (const { home } of this.#asks.values()) if (!byHome.has(home)) byHome.set(home, [])
    for (const home of this.#renewedAtMs.keys()) if (!byHome.has(home)) byHome.set(home, [])
    // Asks from here on may be answered by leases that this list does not name.
    const belowSeq = Math.min(this.#lastSeq + 1, ...this.#asks.keys())
    const who = { gateway_id: gatewayId, epoch, at_ms: nowMs }
    return [...byHome].map(([home, leases]) => {
      const changes: [WalletLease, boolean][] = []
      const idle: [string, number][] = []
      const busy: string[] = []
      for (const lease of leases) {
        const amount = freeOf(lease) + (spare.get(lease) ?? 0)
        if (!isWhole && amount > 0 === lease.isToldIdle) continue
        if (amount > 0 && idle.length < mostIdle) idle.push([lease.leaseId, amount])
        else if (amount > 0 || (!isWhole && busy.length === mostIdle)) continue
        else if (!isWhole) busy.push(lease.leaseId)
        changes.push([lease, amount > 0])
      }
      this.#said.set(home, { atMs: nowMs, changes })
      if (!isWhole) return { home, messages: [{ ...who, idle, busy }] }
      const messages = wholeLists(leases, belowSeq).map((whole, part) => ({
        ...who,
        idle: part === 0 ? idle : [],
        whole,
      }))
      return { home, messages }
    })
  }

  /** A heartbeat was answered: leases of its home last from when it was sent. */
  renewed(home: number, sentAtMs: number, receipt: LeaseReceipt): void {
    if (receipt.fenced) return
    this.#renewedAtMs.set(home, Math.max(sentAtMs, this.#renewedAtMs.get(home) ?? Number.NEGATIVE_INFINITY))
    const said = this.#said.get(home)
    if (said?.atMs === sentAtMs) {
      for (const [lease, isIdle] of said.changes) lease.isToldIdle = isIdle
      said.changes.length = 0
    }
    this.#markUnknown(receipt.unknown)
  }

  /** Its home has not got them: nothing more is held of them, and they are told whole, for a home that has lost them. */
  #markUnknown(leaseIds: readonly string[]): void {
    for (const leaseId of leaseIds) {
      const lease = this.#leases.get(leaseId)
      if (!lease) continue
      if (lease.isUnknown) {
        // Told, and still not taken: it is closed there.
        if (lease.isDone) this.#forget(lease)
        continue
      }
      lease.pool.free -= freeOf(lease)
      lease.isUnknown = true
      this.#touch(lease)
      this.#finish(lease)
    }
  }

  #forget(lease: WalletLease): void {
    this.#leases.delete(lease.leaseId)
    this.#dirty.get(lease.pool.home)?.delete(lease)
    lease.isDirty = false
  }

  /** Leases that are not done, for the head of a journal's segment. */
  totals(): LeaseTotals[] {
    return [...this.#leases.values()].map(lease => totalsOf(lease, this.#options.epoch))
  }

  /** For display: what of each pool is leased here, and held by calls. */
  *describe(): Iterable<{ pool: WalletPool; free: number; held: number; unresolved: number }> {
    for (const pool of this.#pools.values()) {
      let held = 0
      let unresolved = 0
      for (const lease of pool.leases) {
        held += lease.held
        unresolved += unresolvedOf(lease)
      }
      yield { pool, free: pool.free, held, unresolved }
    }
  }
}

/** Whether so much would still be here when the next call comes: of what is used seldom, only a small part of what is left is. */
function mayKeep({ gapMs, left }: WalletPool, amount: number): boolean {
  return gapMs === undefined || gapMs <= idleRestMs || amount * idleShare <= left
}

/** What is to be here for later calls once a call has taken this much: no more than stays. */
function aheadOf(pool: WalletPool, want: number): number {
  const ahead = pool.ahead(want)
  return mayKeep(pool, ahead) ? ahead : Math.min(ahead, Math.floor(pool.left / idleShare))
}

/** Its window ends in a moment, and what comes next is not asked for yet. */
function isBeforeNext(pool: WalletPool, nowMs: number): boolean {
  const { windowEndMs, isFollowed, lastWant, lastUsedMs } = pool
  if (windowEndMs === undefined || isFollowed || lastWant === 0) return false
  return nowMs >= windowEndMs - windowAheadMs && nowMs < windowEndMs && nowMs - lastUsedMs <= recentlyUsedMs
}

const listLength = 5_000

/** Leases in the order of their asks, in parts that meet at asks. */
function wholeLists(leases: readonly WalletLease[], belowSeq: number): NonNullable<LeaseHeartbeat['whole']>[] {
  const known = leases.filter(({ askSeq }) => askSeq < belowSeq).sort((a, b) => a.askSeq - b.askSeq)
  const lists: NonNullable<LeaseHeartbeat['whole']>[] = []
  let from = 1
  let ids: string[] = []
  for (const [at, lease] of known.entries()) {
    ids.push(lease.leaseId)
    const next = known[at + 1]
    if (!next || ids.length < listLength || next.askSeq === lease.askSeq) continue
    lists.push({ from_seq: from, below_seq: next.askSeq, lease_ids: ids, more: true })
    from = next.askSeq
    ids = []
  }
  lists.push({ from_seq: from, below_seq: Math.max(from, belowSeq), lease_ids: ids })
  return lists
}

function freeIn(leases: readonly WalletLease[]): number {
  let free = 0
  for (const lease of leases) free += freeOf(lease)
  return free
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Above what the engine keeps as a small integer. */
const large = 2 ** 40

/**
 * Amounts in nano-dollars outgrow small integers, each at a time of its own, and all code that reads such a field is then compiled
 * anew, under load. Once an object of a kind has had a large one, fields of all are made for it: so some are held and settled here
 * before any other.
 */
function useLargeAmounts(): void {
  const wallet = new Wallet({ gatewayId: '', epoch: 0 })
  const pool = wallet.pool({
    budgetId: '',
    copy: '',
    windowStartMs: large,
    windowEndMs: undefined,
    home: 0,
    isConcurrent: false,
  })
  const needs = [{ pool, want: large, need: large }]
  wallet.ask(needs, large)
  wallet.answer({ seq: 1, term: 1, grants: [{ lease_id: '', amount: 8 * large, left: large, held: large }] }, large)
  for (const atMs of [large, large + 30_000]) {
    const hold = wallet.hold('', needs, atMs)
    if (hold) wallet.settle(hold, [large / 2], false)
  }
  for (const lease of pool.leases) lease.returned += large
}
useLargeAmounts()
