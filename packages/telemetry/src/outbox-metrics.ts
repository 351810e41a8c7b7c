import { gauge } from './metrics.ts'

/** What is committed and not sent, of one order of sending. */
export interface OutboxFigures {
  /** What is sent in an order of its own; empty: all else. */
  lane: string
  entries: number
  oldestAgeMs: number
}

/** The gauges behind the alarm of an outbox that is held up. @param service its name in metrics, like `billing` */
export function outboxMetrics(service: string): (figures: readonly OutboxFigures[]) => void {
  const labelNames = ['lane'] as const
  const waiting = gauge(`sluice_${service}_outbox_waiting`, 'Messages that are committed and not sent', { labelNames })
  const oldest = gauge(
    `sluice_${service}_outbox_oldest_seconds`,
    'Age of the oldest message that is not sent; 0: none',
    {
      labelNames,
    },
  )
  return figures => {
    for (const { lane: name, entries, oldestAgeMs } of figures) {
      const lane = name === '' ? 'state' : name
      waiting.set({ lane }, entries)
      oldest.set({ lane }, oldestAgeMs / 1_000)
    }
  }
}
