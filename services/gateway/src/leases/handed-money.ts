import type { HandedMoney, LeaseTotals, UsageRecordedData } from '@sluice/contracts'
import { usedAmount } from '@sluice/leases'
import type { LeasePublisher } from './lease-publisher.ts'

type HandedLease = HandedMoney['leases'][number]

/** The last word on a lease: behind whatever else is said of it. */
const lastVersion = Number.MAX_SAFE_INTEGER

/**
 * Tells the homes of handed money what has become of it: that what it is for still runs or, once its leases say what was used of them,
 * how it ended. Said twice, by whoever, it has the same effect once. Rejects where a home does not answer.
 * @param lost its end is not known: what an exact budget holds beyond what was settled stays set aside, under this attempt
 */
export async function tellHomes(
  publisher: Pick<LeasePublisher, 'report'>,
  { holder, leases }: HandedMoney,
  nowMs: number,
  lost?: string,
): Promise<void> {
  const byHome = new Map<number, LeaseTotals[]>()
  for (const lease of leases) {
    const totals = byHome.get(lease.home) ?? []
    totals.push(totalsOf(lease, nowMs, lost))
    byHome.set(lease.home, totals)
  }
  await Promise.all(
    [...byHome].map(([home, totals]) =>
      publisher.report(home, { gateway_id: holder, epoch: 1, at_ms: nowMs, leases: totals }),
    ),
  )
}

function totalsOf({ settled, granted, exact, ...lease }: HandedLease, nowMs: number, lost?: string): LeaseTotals {
  const isDone = settled !== undefined
  const rest = isDone ? Math.max(0, granted - settled) : 0
  const isUnresolved = lost !== undefined && exact === true && rest > 0
  return {
    lease_id: lease.lease_id,
    budget_id: lease.budget_id,
    copy: lease.copy,
    window_start_ms: lease.window_start_ms,
    epoch: 1,
    granted,
    settled_total: settled ?? 0,
    returned_total: isUnresolved ? 0 : rest,
    unresolved: isUnresolved ? [{ attempt_id: lost, amount: rest }] : [],
    version: isDone ? lastVersion : nowMs,
    done: isDone,
  }
}

/** Budgets that count an event of this model by what was handed over for it, and not by itself. */
export function heldFor(handed: HandedMoney | undefined, model: string): UsageRecordedData['held'] {
  const held = new Map<string, UsageRecordedData['held'][number]>()
  for (const lease of handed?.leases ?? []) {
    if (!counts(lease, model)) continue
    const { budget_id, copy, window_start_ms, granted } = lease
    const known = held.get(poolOf(lease))
    if (known) known.amount += granted
    else held.set(poolOf(lease), { budget_id, copy, window_start_ms, amount: granted })
  }
  return [...held.values()]
}

/** Adds up what events have used of handed money. */
export class HandedUse {
  readonly #handed: HandedMoney
  readonly #used = new Map<string, number>()

  constructor(handed: HandedMoney) {
    this.#handed = handed
  }

  count(event: Parameters<typeof usedAmount>[1] & Pick<UsageRecordedData, 'requested_model'>): void {
    const counted = new Set<string>()
    for (const lease of this.#handed.leases) {
      const pool = poolOf(lease)
      if (counted.has(pool) || !counts(lease, event.requested_model)) continue
      counted.add(pool)
      this.#used.set(pool, (this.#used.get(pool) ?? 0) + usedAmount(lease.unit, event))
    }
  }

  /** The same money, with what was used of each lease: out of the first, and what is above all of them out of the last. */
  settled(): HandedMoney {
    const { holder, leases } = this.#handed
    const rest = new Map(this.#used)
    const settled = leases.map((lease, at): HandedLease => {
      const pool = poolOf(lease)
      const isLast = !leases.slice(at + 1).some(each => poolOf(each) === pool)
      const left = rest.get(pool) ?? 0
      const used = isLast ? left : Math.min(left, lease.granted)
      rest.set(pool, left - used)
      return { ...lease, settled: used }
    })
    return { holder, leases: settled }
  }
}

function counts({ models }: HandedLease, model: string): boolean {
  return models === undefined || models.includes(model)
}

function poolOf({ budget_id: budgetId, copy, window_start_ms: windowStartMs }: HandedLease): string {
  return `${budgetId} ${windowStartMs} ${copy}`
}
