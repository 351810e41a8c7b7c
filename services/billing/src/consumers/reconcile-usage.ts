import { type Bus, readUsageHours } from '@sluice/bus'
import { usageHoursSubjects } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { usageReconciled } from '../events.ts'
import { hourOf } from '../ledger.ts'
import {
  type HourSum,
  type ReconciledPlace,
  type Reconciliation,
  reconcile,
  reconciledPlaces,
} from '../reconciliation.ts'
import type { UsageHourStore } from '../usage-hour-store.ts'

export interface ReconcileDeps {
  bus: Bus
  hours: UsageHourStore
  nowMs: () => number
  log: Logger
}

/** An hour is over for good this long after its end: what is on its way arrives within seconds, rollups within minutes. */
const settleMs = 15 * 60_000
const dayMs = 86_400_000

/** The end of the last hour that is over for good. */
export function closedUntil(nowMs: number): number {
  return hourOf(nowMs - settleMs)
}

/** Asks analytics and budget what they have counted in these hours of admission, and holds it against the ledger. */
export async function reconcileUsage(deps: ReconcileDeps, fromMs: number, toMs: number): Promise<Reconciliation> {
  const answers = await Promise.all(
    reconciledPlaces.map(async (place): Promise<[ReconciledPlace, HourSum[] | undefined]> => {
      try {
        const sums = await readUsageHours(deps.bus, usageHoursSubjects[place], fromMs, toMs)
        return [
          place,
          sums.map(sum => ({
            projectId: sum.project_id,
            hourMs: sum.hour_ms,
            events: sum.events,
            costNanoUsd: BigInt(sum.cost_nano_usd),
          })),
        ]
      } catch (err) {
        deps.log.warn({ err, place }, 'sums not answered')
        return [place, undefined]
      }
    }),
  )
  const places = Object.fromEntries(answers) as Record<ReconciledPlace, HourSum[] | undefined>
  const closed = toMs <= closedUntil(deps.nowMs())
  // Last: what is posted meanwhile is then no difference of a place that was asked before.
  return reconcile({ fromMs, toMs, closed, ledger: await deps.hours.list(fromMs, toMs), places })
}

/** Holds the closed hours of the last two days against each other each `everyMs`: an alarm that nobody has to ask for. */
export function startReconciliation(deps: ReconcileDeps, everyMs: number): { close: () => Promise<void> } {
  let running: Promise<void> | undefined
  const timer = setInterval(() => {
    const toMs = closedUntil(deps.nowMs())
    running ??= reconcileUsage(deps, toMs - 2 * dayMs, toMs)
      .then(result => usageReconciled(deps.log, result))
      .catch(err => deps.log.warn({ err }, 'sums not compared, will be tried again'))
      .finally(() => {
        running = undefined
      })
  }, everyMs)
  return {
    close: async () => {
      clearInterval(timer)
      await running
    },
  }
}
