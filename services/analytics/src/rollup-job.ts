import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@sluice/runtime'
import { noteRollup } from './events.ts'
import type { RollupStore } from './rollup-store.ts'

const hoursPerRun = 200

/** Recomputes dirty hours each `everyMs` until closed. A run that fails is logged; its hours stay dirty. */
export function startRollups(
  store: RollupStore,
  options: { everyMs: number; logger: Logger },
): { close: () => Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      let done = 0
      try {
        done = await store.recomputeDirtyHours(hoursPerRun)
        if (done > 0) noteRollup(done)
      } catch (err) {
        options.logger.warn({ err }, 'rollups not recomputed, will be tried again')
      }
      if (done < hoursPerRun)
        await delay(options.everyMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  })()
  return {
    close: async () => {
      stopping.abort()
      await running
    },
  }
}
