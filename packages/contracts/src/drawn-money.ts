import { leaseIdOfName } from './lease-messages.ts'
import type { UsageRecordedData } from './usage-recorded.ts'

type LeaseAmounts = [leaseId: string, amount: number][]

/** What each lease of an event had settled in all, with it; of one that is named twice, the later total holds. */
export function leaseTotalsOf({ gateway_id, epoch, lease_totals = [], drawn = [] }: UsageRecordedData): LeaseAmounts {
  const totals: LeaseAmounts = [...lease_totals]
  for (const [, , parts] of drawn)
    for (const [name, , total] of parts) totals.push([leaseIdOfName(gateway_id, epoch, name), total])
  return totals
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
