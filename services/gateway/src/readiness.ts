import type { AdmissionGate } from './admission-gate.ts'
import type { Journal } from './journal/journal.ts'
import type { LeaseClient } from './leases/lease-client.ts'
import type { PricesView } from './views/prices-view.ts'

/** A disk that is at one sync for longer hangs: most take less than 10 ms. */
const maxSyncMs = 2_000
/** Further than this off the clock of budgets, windows begin at the wrong time: their homes take no asks of it. */
const maxClockOffMs = 5_000

/** Why a load balancer should send calls elsewhere; undefined: they are welcome here. */
export function whyNotReady(
  {
    gate,
    prices,
    journal,
    leases,
  }: {
    gate: AdmissionGate
    prices: Pick<PricesView, 'current'>
    journal: JournalHealth
    leases: Pick<LeaseClient, 'clockOffMs'>
  },
  nowMs: number,
): string | undefined {
  if (gate.isLeaving) return 'shutting down'
  if (gate.closedFor(nowMs)) return 'admission is closed'
  if (!prices.current(nowMs)) return 'no price book yet'
  const offMs = leases.clockOffMs(nowMs)
  if (Math.abs(offMs) > maxClockOffMs)
    return `its clock is ${Math.round(Math.abs(offMs) / 1000)} s ${offMs > 0 ? 'behind' : 'ahead of'} that of the budget service`
  return problemOfJournal(journal)
}

export type JournalHealth = Pick<Journal, 'state' | 'syncingForMs'>

/** What is wrong with the journal; undefined: nothing. Where its disk hangs, calls that come all the same are still taken. */
export function problemOfJournal({ state, syncingForMs }: JournalHealth): string | undefined {
  if (state !== 'ok') return `journal: ${state}`
  if (syncingForMs <= maxSyncMs) return undefined
  return `journal: its disk hangs, at one sync for ${Math.floor(syncingForMs / 1000)} s`
}
