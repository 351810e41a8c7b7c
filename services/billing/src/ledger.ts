import type { UsageRecordedData } from '@sluice/contracts'

/**
 * `usage_cost`: what a project used, at the price book (owner: project). `provider_cost`: the same by provider.
 * `project_balance`: what a project was charged and has not been credited. `charges`, `credits`: all of either (no owner).
 */
export type LedgerAccountKind = 'usage_cost' | 'provider_cost' | 'project_balance' | 'charges' | 'credits'

/** One side of a posting. Positive: debit. */
export interface LedgerEntry {
  kind: LedgerAccountKind
  owner: string
  amount: bigint
}

/** What one batch posts for one project. Its entries add up to zero. */
export interface LedgerPosting {
  projectId: string
  accountId: string
  eventCount: number
  cost: bigint
  charge: bigint
  entries: LedgerEntry[]
}

/**
 * What the project is charged for an attempt: its cost where our credential paid the provider. The project's own
 * credential and flat seats are paid elsewhere.
 */
export function chargeOf(event: Pick<UsageRecordedData, 'paid_by' | 'cost_nano_usd'>): bigint {
  return event.paid_by === 'managed' ? BigInt(event.cost_nano_usd) : 0n
}

/**
 * The postings of a batch, one a project: the project's usage against the provider's cost, and the project's balance
 * against charges. Pure; sums in bigint.
 */
export function postUsage(events: readonly UsageRecordedData[]): LedgerPosting[] {
  const postings = new Map<string, LedgerPosting & { byProvider: Map<string, bigint> }>()
  for (const event of events) {
    const { project_id: projectId, account_id: accountId } = event.identity
    const key = `${projectId} ${accountId}`
    let posting = postings.get(key)
    if (!posting) {
      posting = { projectId, accountId, eventCount: 0, cost: 0n, charge: 0n, entries: [], byProvider: new Map() }
      postings.set(key, posting)
    }
    const cost = BigInt(event.cost_nano_usd)
    posting.eventCount += 1
    posting.cost += cost
    posting.charge += chargeOf(event)
    posting.byProvider.set(event.provider, (posting.byProvider.get(event.provider) ?? 0n) + cost)
  }
  return [...postings.values()].map(({ byProvider, ...posting }) => {
    const entries: LedgerEntry[] = [
      { kind: 'usage_cost', owner: posting.projectId, amount: posting.cost },
      ...[...byProvider].map(
        ([provider, cost]): LedgerEntry => ({ kind: 'provider_cost', owner: provider, amount: -cost }),
      ),
      { kind: 'project_balance', owner: posting.projectId, amount: posting.charge },
      { kind: 'charges', owner: '', amount: -posting.charge },
    ]
    return { ...posting, entries: entries.filter(entry => entry.amount !== 0n) }
  })
}

/** The posting of a correction: what changes of one event's cost, on the accounts that the event was posted to. */
export function postDifference(event: UsageRecordedData, difference: bigint): LedgerPosting {
  const { project_id: projectId, account_id: accountId } = event.identity
  const charge = event.paid_by === 'managed' ? difference : 0n
  const entries: LedgerEntry[] = [
    { kind: 'usage_cost', owner: projectId, amount: difference },
    { kind: 'provider_cost', owner: event.provider, amount: -difference },
    { kind: 'project_balance', owner: projectId, amount: charge },
    { kind: 'charges', owner: '', amount: -charge },
  ]
  return {
    projectId,
    accountId,
    eventCount: 0,
    cost: difference,
    charge,
    entries: entries.filter(entry => entry.amount !== 0n),
  }
}

/** What a project has used in one hour of admission. */
export interface UsageHour {
  projectId: string
  hourMs: number
  events: number
  cost: bigint
  /** Of the cost, what a flat seat paid. */
  seatCost: bigint
}

const hourMs = 3_600_000

/** Start of the hour that a time is in. */
export function hourOf(timeMs: number): number {
  return Math.floor(timeMs / hourMs) * hourMs
}

/** Sums by project and hour of admission, in one order, so that two writers never wait in a circle. Pure. */
export function sumByHour(events: readonly UsageRecordedData[]): UsageHour[] {
  const hours = new Map<string, UsageHour>()
  for (const event of events) {
    const projectId = event.identity.project_id
    const start = hourOf(event.admitted_at_ms)
    const key = `${String(start).padStart(16, '0')} ${projectId}`
    const hour = hours.get(key) ?? { projectId, hourMs: start, events: 0, cost: 0n, seatCost: 0n }
    hour.events += 1
    hour.cost += BigInt(event.cost_nano_usd)
    if (event.paid_by === 'seat') hour.seatCost += BigInt(event.cost_nano_usd)
    hours.set(key, hour)
  }
  return [...hours].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, hour]) => hour)
}

/** The entries of a credit: it is owed to the project, or was paid in advance. Below zero: one is taken back. */
export function creditEntries(projectId: string, amount: bigint): LedgerEntry[] {
  return [
    { kind: 'project_balance', owner: projectId, amount: -amount },
    { kind: 'credits', owner: '', amount },
  ]
}

/** Whether a prepaid project has nothing left. */
export function isExhausted(chargedNanoUsd: bigint): boolean {
  return -chargedNanoUsd <= 0n
}
