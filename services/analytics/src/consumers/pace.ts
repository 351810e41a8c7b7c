import { setTimeout as delay } from 'node:timers/promises'

/**
 * Keeps `windowMs` between the beginnings of two inserts: what arrives meanwhile comes together in the next one. Many
 * small inserts make ClickHouse merge parts all day.
 */
export function pace(windowMs: number): () => Promise<void> {
  let nextMs = 0
  return async () => {
    const waitMs = nextMs - performance.now()
    if (waitMs > 0) await delay(waitMs)
    nextMs = performance.now() + windowMs
  }
}
