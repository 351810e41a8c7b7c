import type { Logger } from '@sluice/runtime'
import { announcementsRepaired, upkeepFailed } from './events.ts'

export interface UpkeepDeps {
  repair: () => Promise<{ announced: number; withdrawn: number }>
  sweep: () => Promise<void>
  isConnected: () => boolean
  log: Logger
  sweepMs?: number
  watchMs?: number
}

/** Keeps what gateways see equal to PostgreSQL. */
export interface Upkeep {
  /** False until the first repair has gone through. */
  isRepaired: () => boolean
  close: () => Promise<void>
}

/** Repairs at the start and after each time the bus was away (it may have come back empty), and sweeps each minute. */
export function startUpkeep(deps: UpkeepDeps): Upkeep {
  let due = true
  let repaired = false
  let sweptAtMs = 0
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    if (!deps.isConnected()) {
      due = true
      return
    }
    try {
      if (due) {
        const result = await deps.repair()
        due = false
        repaired = true
        announcementsRepaired(deps.log, result)
      }
      if (performance.now() - sweptAtMs >= (deps.sweepMs ?? 60_000)) {
        sweptAtMs = performance.now()
        await deps.sweep()
      }
    } catch (err) {
      upkeepFailed(deps.log, err)
    }
  }

  const tick = () => {
    running ??= run().finally(() => {
      running = undefined
    })
  }
  const timer = setInterval(tick, deps.watchMs ?? 500)
  tick()
  return {
    isRepaired: () => repaired,
    close: async () => {
      clearInterval(timer)
      await running
    },
  }
}
