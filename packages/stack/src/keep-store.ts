import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessEnd } from './watched-process.ts'

/** The first attempt comes at once; one that ends again, or does not come up, waits longer each time. */
const defaultPausesMs = [0, 1_000, 2_000, 5_000, 10_000, 30_000]
const steadyAfterMs = 60_000

export interface StoreKeeperOptions {
  /** As people know it. */
  name: string
  /** Aborted: it is to end, and nothing starts it again. */
  signal: AbortSignal
  log: (line: string) => void
  pausesMs?: readonly number[]
}

/**
 * Brings a store back whenever it ends by itself, until it is to end; everything else reconnects by itself. That it does
 * not come up is said once, and that it did.
 */
export function createStoreKeeper(options: StoreKeeperOptions): {
  watch: (exited: Promise<ProcessEnd>, again: () => Promise<unknown>) => void
} {
  const { name, signal, log } = options
  const pausesMs = options.pausesMs ?? defaultPausesMs
  let attempts = 0

  async function bringBack(again: () => Promise<unknown>): Promise<void> {
    let told = false
    for (;;) {
      const pauseMs = pausesMs[Math.min(attempts++, pausesMs.length - 1)] ?? 0
      // An aborted pause ends at once; the line below sees why.
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      try {
        await again()
        if (told) log(`${name} runs again`)
        return
      } catch (error) {
        if (!told && !signal.aborted)
          log(`${error instanceof Error ? error.message : String(error)} ${name} is tried again until it comes up.`)
        told = true
      }
    }
  }

  return {
    watch(exited, again) {
      const since = Date.now()
      void exited.then(end => {
        if (signal.aborted) return
        if (Date.now() - since > steadyAfterMs) attempts = 0
        log(`${name} ended by itself (${end.code ?? end.signal}); starting it again`)
        return bringBack(again)
      })
    },
  }
}
