import type { LeaseTotals } from '@sluice/contracts'

/** What a call can be asked to hold: one copy of a hard budget, in one window. */
export interface PoolName {
  readonly budgetId: string
  readonly copy: string
  /** 0 for `total` and for unit `concurrent`. */
  readonly windowStartMs: number
  /** Undefined: it never ends. */
  readonly windowEndMs: number | undefined
  readonly home: number
  /** A slot, given back whole when its call ends: nothing is ever settled or unresolved. */
  readonly isConcurrent: boolean
}

/** A lease as the gateway holds it. */
export interface WalletLease {
  readonly leaseId: string
  /** Within this run. */
  readonly name: string
  readonly askSeq: number
  readonly pool: WalletPool
  readonly granted: number
  settled: number
  returned: number
  /** In holds of running calls. */
  held: number
  readonly unresolved: Map<string, number>
  /** By holder, what of `returned` it has from now on. */
  readonly handed: Map<string, number>
  version: number
  /** Its home has yet to hear of its last change. */
  isDirty: boolean
  /** The home has not got it (any more): nothing new is held of it. */
  isUnknown: boolean
  isDone: boolean
  /** Its home was told that a recall would bring something of it back. */
  isToldIdle: boolean
  /** It was called back: when its ttl ends, whatever its home answers. */
  lastsUntilMs: number
}

const halfMinuteMs = 30_000
/** What was taken in a shorter time says little of the next. */
const leastSinceMs = 5_000

/** The leases of one pool, oldest first, and how it is used. */
export class WalletPool implements PoolName {
  readonly budgetId: string
  readonly copy: string
  readonly windowStartMs: number
  readonly windowEndMs: number | undefined
  readonly home: number
  readonly isConcurrent: boolean
  /** Names it in records: the same object in all of them. */
  readonly label: [budgetId: string, copy: string, windowStartMs: number]
  readonly leases: WalletLease[] = []
  /** What no call holds. */
  free = 0
  /** Calls that wait, for money of it or of other pools beside. */
  waiting = 0
  /** What they want of it: whoever comes later finds what is there beside that. */
  wanted = 0
  /** Asks that were not answered yet. */
  asking = 0
  /** What its home had left when it granted last. */
  left = 0
  /** …and what all gateways held. */
  held = 0
  lastWant = 0
  lastUsedMs = 0
  /** Usual time between calls; undefined: there was one at most. */
  gapMs: number | undefined
  /** The window behind this one is asked for. */
  isFollowed = false
  /** Whoever asks for it by its name finds another. */
  isForgotten = false
  /** When the first of its leases that were called back comes to its end. */
  recalledUntilMs = Number.POSITIVE_INFINITY
  #taken = 0
  #takenBefore = 0
  #halfMinute = 0

  constructor(name: PoolName) {
    this.budgetId = name.budgetId
    this.copy = name.copy
    this.windowStartMs = name.windowStartMs
    this.windowEndMs = name.windowEndMs
    this.home = name.home
    this.isConcurrent = name.isConcurrent
    this.label = [name.budgetId, name.copy, name.windowStartMs]
  }

  /** An instant lies in its window. */
  covers(nowMs: number): boolean {
    return nowMs >= this.windowStartMs && !this.isOver(nowMs)
  }

  isOver(nowMs: number): boolean {
    return this.windowEndMs !== undefined && nowMs >= this.windowEndMs
  }

  /** Notes that a call takes money of it. */
  use(amount: number, nowMs: number): void {
    const halfMinute = Math.floor(nowMs / halfMinuteMs)
    if (halfMinute !== this.#halfMinute) {
      this.#takenBefore = halfMinute === this.#halfMinute + 1 ? this.#taken : 0
      this.#taken = 0
      this.#halfMinute = halfMinute
    }
    this.#taken += amount
    // It may have been looked at before it was used.
    if (this.lastWant > 0) {
      const gap = nowMs - this.lastUsedMs
      this.gapMs = this.gapMs === undefined ? gap : Math.round((this.gapMs * 3 + gap) / 4)
    }
    this.lastWant = amount
    this.lastUsedMs = nowMs
  }

  /** What calls take in so long a time, as they have in the last half minute or a little more. */
  takenWithin(ms: number, nowMs: number): number {
    const sinceMs = (nowMs % halfMinuteMs) + (this.#takenBefore > 0 ? halfMinuteMs : 0)
    const taken = Math.floor(nowMs / halfMinuteMs) === this.#halfMinute ? this.#taken + this.#takenBefore : 0
    return Math.ceil((taken * ms) / Math.max(sinceMs, leastSinceMs))
  }

  /** What calls have taken in about the last minute, twice the last of them at least: so much is kept ahead. */
  ahead(want: number): number {
    return Math.max(this.#taken + this.#takenBefore, 2 * want)
  }

  add(lease: WalletLease): void {
    this.leases.push(lease)
    this.free += freeOf(lease)
  }

  remove(lease: WalletLease): void {
    const at = this.leases.indexOf(lease)
    if (at >= 0) this.leases.splice(at, 1)
  }
}

/** What of a lease no call holds. */
export function freeOf(lease: WalletLease): number {
  if (lease.isUnknown || lease.isDone) return 0
  return Math.max(0, lease.granted - lease.settled - lease.returned - lease.held - unresolvedOf(lease))
}

export function unresolvedOf({ unresolved }: WalletLease): number {
  let sum = 0
  if (unresolved.size > 0) for (const amount of unresolved.values()) sum += amount
  return sum
}

export function totalsOf(lease: WalletLease, epoch: number): LeaseTotals {
  const { pool } = lease
  return {
    lease_id: lease.leaseId,
    budget_id: pool.budgetId,
    copy: pool.copy,
    window_start_ms: pool.windowStartMs,
    epoch,
    granted: lease.granted,
    settled_total: lease.settled,
    returned_total: lease.returned,
    unresolved: [...lease.unresolved].map(([attempt_id, amount]) => ({ attempt_id, amount })),
    ...(lease.handed.size > 0 && { handed: [...lease.handed].map(([holder, amount]) => ({ holder, amount })) }),
    version: lease.version,
    done: lease.isDone,
  }
}
