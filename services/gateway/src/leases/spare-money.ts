import type { WalletLease, WalletPool } from '@sluice/leases'

/** A running call that holds more than it needs for a while. */
export interface SpareHolder {
  /** Of which it holds money. */
  readonly pools: readonly WalletPool[]
  /** Gives back what it does not need yet. */
  giveBack: () => void
  /** Adds what it would give back now, by lease. */
  addSpare: (spare: Map<WalletLease, number>) => void
}

/**
 * What running calls hold and do not need yet: a stream holds all that it may say, and can be paid for as it goes on. Where others
 * find too little, here or at another gateway, they give it back.
 */
export class SpareMoney {
  readonly #byPool = new Map<WalletPool, Set<SpareHolder>>()

  add(holder: SpareHolder): void {
    for (const pool of holder.pools) {
      const holders = this.#byPool.get(pool)
      if (holders) holders.add(holder)
      else this.#byPool.set(pool, new Set([holder]))
    }
  }

  remove(holder: SpareHolder): void {
    for (const pool of holder.pools) {
      const holders = this.#byPool.get(pool)
      holders?.delete(holder)
      if (holders?.size === 0) this.#byPool.delete(pool)
    }
  }

  giveBack(pools: Iterable<WalletPool>): void {
    for (const pool of pools) for (const holder of [...(this.#byPool.get(pool) ?? [])]) holder.giveBack()
  }

  /** What would come back of each lease. */
  byLease(): Map<WalletLease, number> {
    const spare = new Map<WalletLease, number>()
    const holders = new Set<SpareHolder>()
    for (const each of this.#byPool.values()) for (const holder of each) holders.add(holder)
    for (const holder of holders) holder.addSpare(spare)
    return spare
  }
}
