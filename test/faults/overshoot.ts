import { heldMoneyOf, type UsageRecordedData } from '@sluice/contracts'

export interface OvershootOptions {
  budgetId: string
  /** Of each copy. */
  limit: number
  /** What the budget itself says. */
  copies: ReadonlyMap<string, { settled: number; unresolved: number }>
  /** The whole usage log of its project. */
  events: readonly UsageRecordedData[]
  /** The provider's, by its own ids. */
  bill: ReadonlyMap<string, number>
}

/** How far the copies of a budget stand above their limits, and why. Nano-USD. */
export interface Overshoot {
  settled: ReadonlyMap<string, number>
  /** By copy. */
  perSeat: ReadonlyMap<string, number>
  /** What calls have used beyond what was held for them, by cause. */
  causes: Record<string, number>
  /** Copies that stand further above their limit than all their causes come to. */
  unexplained: string[]
  /** Copies of which the budget says something else than the usage log. */
  differing: string[]
  /** What the provider has charged for calls that were cut, above what is on record. */
  beyondRecord: number
  /** Calls that ended by themselves, and are charged at something else than what is on record. */
  wronglyBilled: string[]
}

type Cause = 'no hold' | 'cut too late' | 'above its bound'

/** Reads it from the usage log: each event says what was held for it, and what it has used. */
export function findOvershoot({ budgetId, limit, copies, events, bill }: OvershootOptions): Overshoot {
  const logged = new Map<string, number>()
  const explained = new Map<string, number>()
  const causes: Record<Cause, number> = { 'no hold': 0, 'cut too late': 0, 'above its bound': 0 }
  const wronglyBilled: string[] = []
  let beyondRecord = 0
  for (const event of events) {
    const copy = event.identity.member_id ?? ''
    const cost = event.cost_nano_usd
    logged.set(copy, (logged.get(copy) ?? 0) + cost)
    const held = heldMoneyOf(event).find(each => each.budget_id === budgetId)?.amount
    if (cost > (held ?? 0)) {
      const cause: Cause = held === undefined ? 'no hold' : event.status === 'cut' ? 'cut too late' : 'above its bound'
      causes[cause] += cost - (held ?? 0)
      // What is above the bound of its model is a mistake of ours: no limit is excused by it.
      if (cause !== 'above its bound') explained.set(copy, (explained.get(copy) ?? 0) + cost - (held ?? 0))
    }
    const billed = bill.get(event.provider_request_id ?? '')
    if (billed === undefined || billed === cost) continue
    if (event.status === 'cut') beyondRecord += billed - cost
    else wronglyBilled.push(`${event.event_id} (${event.status}): billed ${billed}, recorded ${cost}`)
  }
  const perSeat = new Map<string, number>()
  const unexplained: string[] = []
  const differing: string[] = []
  for (const [copy, { settled }] of copies) {
    const above = Math.max(0, settled - limit)
    perSeat.set(copy, above)
    if (above > (explained.get(copy) ?? 0))
      unexplained.push(`${copy} stands ${above} above, for which ${explained.get(copy) ?? 0} have a cause`)
    if (settled !== (logged.get(copy) ?? 0))
      differing.push(`${copy}: budget ${settled}, usage log ${logged.get(copy) ?? 0}`)
  }
  const settled = new Map([...copies].map(([copy, each]) => [copy, each.settled] as const))
  return { settled, perSeat, causes, unexplained, differing, beyondRecord, wronglyBilled }
}
