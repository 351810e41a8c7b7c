import { leaseIdOfName } from './lease-messages.ts'
import type { DrawnMoney, UsageRecordedData } from './usage-recorded.ts'

type LeaseAmounts = [leaseId: string, amount: number][]

/** What each lease of an event had settled in all, with it; of one that is named twice, the later total holds. */
export function leaseTotalsOf({ gateway_id, epoch, lease_totals = [], drawn = [] }: UsageRecordedData): LeaseAmounts {
  return [...lease_totals, ...drawnTotals(gateway_id, epoch, drawn)]
}

/** The totals of leases that a run has drawn money from. */
export function drawnTotals(gatewayId: string, epoch: number, drawn: readonly DrawnMoney[]): LeaseAmounts {
  return drawn.flatMap(([, , parts]) =>
    parts.map(([name, , total]): LeaseAmounts[number] => [leaseIdOfName(gatewayId, epoch, name), total]),
  )
}

/** What of an event was settled from which lease. */
export function settledLeasesOf({ gateway_id, epoch, leases, drawn = [] }: UsageRecordedData): LeaseAmounts {
  const settled: LeaseAmounts = [...leases]
  for (const [, , parts] of drawn)
    for (const [name, amount] of parts) settled.push([leaseIdOfName(gateway_id, epoch, name), amount])
  return settled
}

/** Every copy of a hard budget that an event held money of, and how much: it is counted there by its leases. */
export function heldMoneyOf({ held, drawn = [] }: UsageRecordedData): UsageRecordedData['held'] {
  const all = [...held]
  for (const [[budget_id, copy, window_start_ms], amount] of drawn)
    all.push({ budget_id, copy, window_start_ms, amount })
  return all
}
