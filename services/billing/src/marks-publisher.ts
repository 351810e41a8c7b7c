import { type Bus, openBucket } from '@sluice/bus'
import { Mark, seriesKey } from '@sluice/contracts'
import type { MarkPosition } from '@sluice/postgres'
import type { Logger } from '@sluice/runtime'

/** Tells gateways how far their series are posted, so that they can let go of their journal. */
export interface MarksPublisher {
  /** Notes positions that are committed. They are written soon, the latest of each series only. */
  note(positions: readonly MarkPosition[]): void
  close(): Promise<void>
}

const pauseMs = 100

/**
 * Writes at most one mark per series each 100 ms. A failed write is tried again: marks only grow, and a gateway that hears
 * late keeps its segments a little longer.
 */
export async function openMarksPublisher(bus: Bus, log: Logger): Promise<MarksPublisher> {
  const bucket = await openBucket(bus, 'marks', Mark)
  const waiting = new Map<string, MarkPosition>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let closed = false

  async function write(): Promise<void> {
    for (const [key, position] of [...waiting]) {
      try {
        await bucket.put(key, {
          contiguous: position.contiguous,
          last: position.last,
          updated_at_ms: Date.now(),
        })
        if (waiting.get(key) === position) waiting.delete(key)
      } catch (err) {
        log.warn({ err }, 'mark not written, will be tried again')
        break
      }
    }
  }
  function schedule(): void {
    if (timer || closed || waiting.size === 0) return
    timer = setTimeout(() => {
      writing = write().finally(() => {
        timer = undefined
        schedule()
      })
    }, pauseMs)
  }

  return {
    note(positions) {
      for (const position of positions) {
        const key = seriesKey(position.series)
        const known = waiting.get(key)
        // Two batches may be told out of order; a mark never goes back.
        if (known && known.contiguous > position.contiguous) continue
        waiting.set(key, position)
      }
      schedule()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await writing
      await write()
    },
  }
}
