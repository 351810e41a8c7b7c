import type { DrawnMoney } from '@sluice/contracts'
import type { WalletLease, WalletPool } from './wallet-pool.ts'

/** What an attempt holds of one pool. */
export interface HeldItem {
  readonly pool: WalletPool
  amount: number
  readonly parts: { readonly lease: WalletLease; amount: number }[]
}

/** Pools, and one lease of each: calls that follow one another hold money of the same. */
export interface LeaseRow {
  readonly pools: readonly WalletPool[]
  readonly leases: readonly WalletLease[]
}

/** What an attempt has drawn of a row of leases. It does not change. */
export class DrawnRow {
  readonly row: LeaseRow
  /** By lease: what was held of it, what of that was used, and what it had settled in all, with it. */
  readonly held: readonly number[]
  readonly used: readonly number[]
  readonly totals: readonly number[]

  constructor(row: LeaseRow, held: readonly number[], used: readonly number[], totals: readonly number[]) {
    this.row = row
    this.held = held
    this.used = used
    this.totals = totals
  }

  /** As an event says it. */
  get drawn(): DrawnMoney[] {
    const { pools, leases } = this.row
    return pools.map(({ label, isConcurrent }, at): DrawnMoney => {
      const lease = leases[at]
      const parts: DrawnMoney[2] =
        lease && !isConcurrent ? [[lease.name, this.used[at] ?? 0, this.totals[at] ?? 0]] : []
      return [label, this.held[at] ?? 0, parts]
    })
  }
}

/** Pools that many calls hold money of together. */
export class PoolSet {
  readonly pools: readonly WalletPool[]
  #oldest: LeaseRow | undefined

  constructor(pools: readonly WalletPool[]) {
    this.pools = pools
  }

  /** The oldest lease of each, the same object as long as they are the same; undefined: some pool has none. */
  oldest(): LeaseRow | undefined {
    const known = this.#oldest
    if (known && isOldest(known)) return known
    const leases: WalletLease[] = []
    for (const {
      leases: [oldest],
    } of this.pools) {
      if (!oldest) return undefined
      leases.push(oldest)
    }
    this.#oldest = { pools: this.pools, leases }
    return this.#oldest
  }
}

function isOldest({ pools, leases }: LeaseRow): boolean {
  for (let at = 0; at < pools.length; at++) if (pools[at]?.leases[0] !== leases[at]) return false
  return true
}

/** Money that one attempt holds, all of its budgets together. Settled once. */
export class Hold {
  readonly attemptId: string
  isSettled = false
  #row: LeaseRow | undefined
  readonly #amounts: readonly number[]
  #items: HeldItem[] | undefined

  private constructor(attemptId: string, row: LeaseRow | undefined, amounts: readonly number[], items?: HeldItem[]) {
    this.attemptId = attemptId
    this.#row = row
    this.#amounts = amounts
    this.#items = items
  }

  static ofItems(attemptId: string, items: HeldItem[]): Hold {
    return new Hold(attemptId, undefined, [], items)
  }

  /** @param amounts by lease; they do not change any more */
  static ofRow(attemptId: string, row: LeaseRow, amounts: readonly number[]): Hold {
    return new Hold(attemptId, row, amounts)
  }

  /** Of which leases it is, where it is of one a pool and nobody has asked for {@link items}. */
  get row(): LeaseRow | undefined {
    return this.#row
  }

  /** Of {@link row}. */
  get amounts(): readonly number[] {
    return this.#amounts
  }

  get pools(): readonly WalletPool[] {
    return this.#row ? this.#row.pools : this.items.map(({ pool }) => pool)
  }

  /** By pool, for whoever changes it. */
  get items(): readonly HeldItem[] {
    if (!this.#items) {
      const { pools, leases } = this.#row ?? { pools: [], leases: [] }
      const amounts = this.#amounts
      this.#items = pools.map((pool, at) => {
        const amount = amounts[at] ?? 0
        const lease = leases[at]
        return { pool, amount, parts: lease ? [{ lease, amount }] : [] }
      })
      this.#row = undefined
    }
    return this.#items
  }
}
