import type { Budget, LeaseTotals, UsageRecordedData } from '@sluice/contracts'

/** What an OPEN or an EXTEND says of the money its attempt holds, one for each budget. */
export interface JournaledHold {
  budget_id: string
  copy: string
  window_start_ms: number
  unit: Budget['unit']
  /** The end of a killed attempt leaves what it held unresolved. */
  exact?: true
  parts: [leaseId: string, amount: number][]
}

/** `[lease, amount]`, for the CLOSE of a killed attempt. */
export interface SettledLeases {
  /** What it has used of each lease. */
  leases: [string, number][]
  /** What each of them has settled in all, with it. */
  totals: [string, number][]
  /** What it may have used beyond that. */
  unresolved: [string, number][]
  /** What of it its holder has from now on. */
  handed: [string, number][]
}

type Amounts = readonly (readonly [leaseId: string, amount: number])[]

/** What an attempt's CLOSE says of money that outlives it. */
export type HandedLeases = NonNullable<UsageRecordedData['handed']>

type Handed = LeaseTotals['handed']

/** Lists of two records, as one. */
function withHanded(known: Handed = [], more: Handed = []): Pick<LeaseTotals, 'handed'> {
  const news = more.filter(({ holder }) => !known.some(each => each.holder === holder))
  const handed = [...known, ...news]
  return handed.length > 0 ? { handed } : {}
}

/**
 * What a journal knows of leases, read from its records in order: LEASE states totals, OPEN and EXTEND name leases, CLOSE
 * states what its leases have come to with it. All of them are totals, so a record that is read twice changes nothing. At the
 * journal's end this is what a hello says.
 */
export class JournaledLeases {
  readonly #epoch: number
  readonly #leases = new Map<string, LeaseTotals>()

  constructor(epoch: number) {
    this.#epoch = epoch
  }

  /** A LEASE record: totals as they stood when it was written. Behind newer ones it takes nothing back. */
  state(totals: LeaseTotals): void {
    const known = this.#leases.get(totals.lease_id)
    const unresolved = totals.unresolved.filter(
      ({ attempt_id }) => !known?.unresolved.some(each => each.attempt_id === attempt_id),
    )
    this.#leases.set(totals.lease_id, {
      ...totals,
      settled_total: Math.max(totals.settled_total, known?.settled_total ?? 0),
      returned_total: Math.max(totals.returned_total, known?.returned_total ?? 0),
      unresolved: [...(known?.unresolved ?? []), ...unresolved],
      ...withHanded(known?.handed, totals.handed),
      version: Math.max(totals.version, known?.version ?? 0),
    })
  }

  /** An OPEN, or an EXTEND, or a CLOSE that names the budgets of its leases. */
  hold(holds: readonly Omit<JournaledHold, 'unit' | 'exact'>[]): void {
    for (const { budget_id, copy, window_start_ms, parts } of holds)
      for (const [leaseId] of parts) {
        if (this.#leases.has(leaseId)) continue
        this.#leases.set(leaseId, {
          lease_id: leaseId,
          budget_id,
          copy,
          window_start_ms,
          epoch: this.#epoch,
          granted: 0,
          settled_total: 0,
          returned_total: 0,
          unresolved: [],
          version: 0,
          done: false,
        })
      }
  }

  /**
   * A CLOSE.
   * @param totals what its leases have settled, with it
   * @param handed what of them its holder has from then on
   */
  settle(attemptId: string, totals: Amounts, unresolved: Amounts = [], handed?: HandedLeases): void {
    for (const [leaseId, total] of totals) {
      const lease = this.#leases.get(leaseId)
      if (lease) lease.settled_total = Math.max(lease.settled_total, total)
    }
    for (const [leaseId, amount] of unresolved) {
      const lease = this.#leases.get(leaseId)
      if (lease && !lease.unresolved.some(({ attempt_id }) => attempt_id === attemptId))
        lease.unresolved.push({ attempt_id: attemptId, amount })
    }
    if (!handed) return
    const { holder } = handed
    for (const [leaseId, amount] of handed.leases) {
      const lease = this.#leases.get(leaseId)
      if (lease) Object.assign(lease, withHanded(lease.handed, [{ holder, amount }]))
    }
  }

  /**
   * Settles an attempt that has no CLOSE.
   * @param used by hold, in the budget's unit: what is estimated
   * @param holder who has the rest from now on: what the attempt has begun goes on without it
   */
  settleKilled(
    attemptId: string,
    holds: readonly JournaledHold[],
    used: readonly number[],
    holder?: string,
  ): SettledLeases {
    const settled: SettledLeases = { leases: [], totals: [], unresolved: [], handed: [] }
    for (const [at, { parts, unit, exact }] of holds.entries()) {
      if (unit === 'concurrent') continue
      let rest = used[at] ?? 0
      for (const [index, [leaseId, amount]] of parts.entries()) {
        const part = index === parts.length - 1 ? rest : Math.min(rest, amount)
        rest -= part
        settled.leases.push([leaseId, part])
        settled.totals.push([leaseId, (this.#leases.get(leaseId)?.settled_total ?? 0) + part])
        if (holder !== undefined && amount > part) settled.handed.push([leaseId, amount - part])
        else if (exact && amount > part) settled.unresolved.push([leaseId, amount - part])
        this.settle(attemptId, settled.totals.slice(-1))
      }
    }
    const handed = holder === undefined ? undefined : { holder, leases: settled.handed }
    this.settle(attemptId, [], settled.unresolved, handed)
    return settled
  }

  /** Every lease that the journal names, done. */
  totals(): LeaseTotals[] {
    return [...this.#leases.values()].map(totals => ({ ...totals, version: totals.version + 1, done: true }))
  }
}
