import type { Logger } from '@sluice/runtime'
import type { WaitingAlerts } from './waiting-store.ts'

export interface WatchAlertsDeps {
  findWaiting: () => Promise<WaitingAlerts>
  /** Begins to put alerts of requests into the queue. */
  tell: () => void
  /** Begins to send what is in the queue. */
  deliver: () => void
  pollMs: number
  log: Logger
}

/** Asks every `pollMs` what waits, whichever instance has written it down, and begins with that. */
export function watchAlerts({ findWaiting, tell, deliver, pollMs, log }: WatchAlertsDeps): {
  close: () => Promise<void>
} {
  let asking: Promise<void> | undefined

  async function ask(): Promise<void> {
    const waiting = await findWaiting()
    if (waiting.requests) tell()
    if (waiting.deliveries) deliver()
  }
  const timer = setInterval(() => {
    asking ??= ask()
      .catch((err: unknown) => log.warn({ err }, 'alerts not looked for, will be tried again'))
      .finally(() => {
        asking = undefined
      })
  }, pollMs)
  return {
    close: async () => {
      clearInterval(timer)
      await asking
    },
  }
}
