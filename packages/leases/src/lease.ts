import type { LeaseTotals } from '@sluice/contracts'

/**
 * Money (or tokens, or requests) that a home has set aside for one run of one gateway. All amounts are integers in the
 * budget's unit.
 */
export interface Lease {
  readonly leaseId: string
  /** Number of the ask in its run. */
  readonly askSeq: number
  readonly pool: string
  readonly gatewayId: string
  readonly epoch: number
  readonly granted: number
  readonly settled: number
  readonly returned: number
  /** By attempt: what it may have used beyond what was settled for it. */
  readonly unresolved: ReadonlyMap<string, number>
  /** Of the totals; what is older is passed over. */
  readonly version: number
  /**
   * `open`: what is not settled, returned or unresolved is outstanding. `silent`: its gateway has not been heard of for long:
   * all of that is unresolved. `closed`: nothing of it is outstanding.
   */
  readonly state: 'open' | 'silent' | 'closed'
  /** Attempts whose unresolved amount was given up: a late list does not bring it back. */
  readonly givenUp: ReadonlySet<string>
}

/** Under which attempt the rest of a silent gateway's lease stands. */
export const wholeLease = '*'

/** What a lease takes from its pool. */
export interface LeaseWeight {
  settled: number
  unresolved: number
  outstanding: number
}

export function weightOf(lease: Lease): LeaseWeight {
  let unresolved = 0
  for (const amount of lease.unresolved.values()) unresolved += amount
  const rest = Math.max(0, lease.granted - lease.settled - lease.returned - unresolved)
  switch (lease.state) {
    case 'open':
      return { settled: lease.settled, unresolved, outstanding: rest }
    case 'silent':
      return {
        settled: lease.settled,
        unresolved: unresolved + (lease.givenUp.has(wholeLease) ? 0 : rest),
        outstanding: 0,
      }
    case 'closed':
      return { settled: lease.settled, unresolved, outstanding: 0 }
  }
}

/** The totals that a message tells, without what was given up meanwhile. */
export function withTotals(lease: Lease, totals: LeaseTotals): Lease {
  return {
    ...lease,
    settled: Math.max(lease.settled, totals.settled_total),
    returned: Math.max(lease.returned, totals.returned_total),
    // A list only grows. What a hello no longer names was answered before its record went.
    unresolved: new Map([
      ...lease.unresolved,
      ...totals.unresolved
        .filter(({ attempt_id }) => !lease.givenUp.has(attempt_id))
        .map(({ attempt_id, amount }): [string, number] => [attempt_id, amount]),
    ]),
    version: totals.version,
  }
}
