/** What one place has counted for a project in an hour of admission. */
export interface HourSum {
  projectId: string
  hourMs: number
  events: number
  costNanoUsd: bigint
}

/** The places whose sums must be those of the ledger. */
export const reconciledPlaces = ['analytics_rows', 'analytics_rollups', 'budget'] as const
export type ReconciledPlace = (typeof reconciledPlaces)[number]

/** What the ledger has posted for an hour: the cost, and what of it counts in budgets of money. */
export interface LedgerHour extends HourSum {
  /** Without what flat seats paid. */
  budgetCostNanoUsd: bigint
}

type Amount = { events: number; cost_nano_usd: string }

/** A project's hour that a place has counted otherwise than the ledger. */
export interface HourDifference {
  project_id: string
  hour: string
  place: ReconciledPlace
  ledger: Amount
  found: Amount
  difference_nano_usd: string
}

export interface Reconciliation {
  from: string
  to: string
  /** Every hour of it is over for long enough that nothing is on its way any more. */
  closed: boolean
  /** Every place answered, and each has the sums of the ledger. */
  equal: boolean
  ledger: Amount
  /** Null: it did not answer. */
  places: Record<ReconciledPlace, Amount | null>
  difference_count: number
  /** The first of them. */
  differences: HourDifference[]
}

const mostNamed = 1_000

/** Holds the sums of every place against the ledger's, hour by hour and project by project. Pure. */
export function reconcile(input: {
  fromMs: number
  toMs: number
  closed: boolean
  ledger: readonly LedgerHour[]
  places: Record<ReconciledPlace, readonly HourSum[] | undefined>
}): Reconciliation {
  const differences: HourDifference[] = []
  for (const place of reconciledPlaces) {
    const sums = input.places[place]
    if (!sums) continue
    const left = new Map(sums.map(sum => [keyOf(sum), sum]))
    for (const hour of input.ledger) {
      const wanted = { ...hour, costNanoUsd: place === 'budget' ? hour.budgetCostNanoUsd : hour.costNanoUsd }
      const found = left.get(keyOf(hour)) ?? { ...hour, events: 0, costNanoUsd: 0n }
      left.delete(keyOf(hour))
      if (found.events !== wanted.events || found.costNanoUsd !== wanted.costNanoUsd)
        differences.push(describe(place, wanted, found))
    }
    for (const found of left.values())
      if (found.events !== 0 || found.costNanoUsd !== 0n)
        differences.push(describe(place, { ...found, events: 0, costNanoUsd: 0n }, found))
  }
  const placesThatAnswered = reconciledPlaces.filter(place => input.places[place] !== undefined)
  return {
    from: new Date(input.fromMs).toISOString(),
    to: new Date(input.toMs).toISOString(),
    closed: input.closed,
    equal: differences.length === 0 && placesThatAnswered.length === reconciledPlaces.length,
    ledger: total(input.ledger),
    places: {
      analytics_rows: totalOrNull(input.places.analytics_rows),
      analytics_rollups: totalOrNull(input.places.analytics_rollups),
      budget: totalOrNull(input.places.budget),
    },
    difference_count: differences.length,
    differences: differences.slice(0, mostNamed),
  }
}

function keyOf({ projectId, hourMs }: HourSum): string {
  return `${hourMs} ${projectId}`
}

function describe(place: ReconciledPlace, wanted: HourSum, found: HourSum): HourDifference {
  return {
    project_id: wanted.projectId,
    hour: new Date(wanted.hourMs).toISOString(),
    place,
    ledger: { events: wanted.events, cost_nano_usd: String(wanted.costNanoUsd) },
    found: { events: found.events, cost_nano_usd: String(found.costNanoUsd) },
    difference_nano_usd: String(found.costNanoUsd - wanted.costNanoUsd),
  }
}

function totalOrNull(sums: readonly HourSum[] | undefined): Amount | null {
  return sums === undefined ? null : total(sums)
}

function total(sums: readonly HourSum[]): Amount {
  const cost = sums.reduce((sum, hour) => sum + hour.costNanoUsd, 0n)
  return { events: sums.reduce((sum, hour) => sum + hour.events, 0), cost_nano_usd: String(cost) }
}
