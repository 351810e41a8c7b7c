import type { Budget } from '@sluice/contracts'
import type { WalletPool } from '@sluice/leases'

/**
 * What calls have used of budgets whose home did not answer, up to what each budget allows (`on_unknown`). Counted by what they
 * could use, and kept: what they did use comes by their events, without a lease. A slot alone comes back, with the call's end.
 */
export class UnknownAllowance {
  readonly #used = new Map<WalletPool, number>()

  has({ on_unknown: onUnknown }: Budget, pool: WalletPool, amount: number): boolean {
    if (onUnknown === 'deny') return false
    return (this.#used.get(pool) ?? 0) + amount <= onUnknown.allow_up_to
  }

  /** @returns gives a slot back; undefined: what was taken is used up */
  take(pool: WalletPool, amount: number): (() => void) | undefined {
    const nowMs = Date.now()
    for (const known of this.#used.keys()) if (known.isOver(nowMs)) this.#used.delete(known)
    this.#used.set(pool, (this.#used.get(pool) ?? 0) + amount)
    return pool.isConcurrent ? () => this.#used.set(pool, (this.#used.get(pool) ?? 0) - amount) : undefined
  }
}
