import type { Logger } from '@sluice/runtime'
import type { AttemptOutcome, ClaimedDelivery, DeliveryProgress } from './delivery-store.ts'

export interface DeliverDeps {
  claim: (asked: { busy: readonly string[]; ofEach: number; most: number }) => Promise<ClaimedDelivery[]>
  /** One attempt. Whatever it throws is a failed one. */
  send: (delivery: ClaimedDelivery) => Promise<AttemptOutcome>
  finish: (delivery: ClaimedDelivery, outcome: AttemptOutcome) => Promise<DeliveryProgress>
  onAttempt: (delivery: ClaimedDelivery, outcome: AttemptOutcome, progress: DeliveryProgress) => void
  log: Logger
}

/** Attempts under way in one process, and to one destination. */
const mostAttempts = 64
const mostOfDestination = 2
/** What is under way when a process ends has so long; what is not done by then is made again. */
const closingMs = 3_000

/** It was while the alert was written down. */
const switchedOff: AttemptOutcome = { ok: false, error: 'The destination is switched off.', isMoot: true }

/** Whoever sends what waits in the queue. */
export interface Deliveries {
  /** Begins to send what is due. */
  look: () => void
  close: () => Promise<void>
}

/**
 * Sends what waits in the queue each time it is asked to look. Any number of processes may do so: an attempt is claimed before it is
 * made. A destination that does not answer has two attempts under way at most, and others the rest.
 */
export function startDeliveries(deps: DeliverDeps): Deliveries {
  const underWay = new Map<ClaimedDelivery, Promise<void>>()
  let closing = false
  let closed = false
  let looking: Promise<void> | undefined

  const busyDestinations = (): string[] => {
    const counts = new Map<string, number>()
    for (const { destination } of underWay.keys())
      counts.set(destination.destinationId, (counts.get(destination.destinationId) ?? 0) + 1)
    return [...counts].filter(([, count]) => count >= mostOfDestination).map(([id]) => id)
  }

  async function look(): Promise<void> {
    const most = mostAttempts - underWay.size
    if (most <= 0) return
    const claimed = await deps.claim({ busy: busyDestinations(), ofEach: mostOfDestination, most })
    for (const delivery of claimed) {
      const attempt = attemptOnce(delivery).finally(() => {
        underWay.delete(delivery)
        // There may be more for this one.
        lookSoon()
      })
      underWay.set(delivery, attempt)
    }
  }

  async function attemptOnce(delivery: ClaimedDelivery): Promise<void> {
    const sending = delivery.destination.enabled ? deps.send(delivery) : Promise.resolve(switchedOff)
    const outcome = await sending.catch((err: unknown): AttemptOutcome => {
      deps.log.error({ err, deliveryId: delivery.deliveryId }, 'alert could not be sent')
      return { ok: false, error: 'It could not be made ready to be sent: the log of the budget service says why.' }
    })
    // The stores are about to close: another process makes the attempt again.
    if (closed) return
    try {
      deps.onAttempt(delivery, outcome, await deps.finish(delivery, outcome))
    } catch (err) {
      deps.log.warn({ err, deliveryId: delivery.deliveryId }, 'attempt not written down, it will be made again')
    }
  }

  function lookSoon(): void {
    // What would be taken now nobody would wait for, and whoever comes next would send it again.
    if (closing) return
    looking ??= look()
      .catch((err: unknown) => deps.log.warn({ err }, 'alerts not looked for, will be tried again'))
      .finally(() => {
        looking = undefined
      })
  }

  return {
    look: lookSoon,
    close: async () => {
      closing = true
      await looking
      const ended = Promise.allSettled(underWay.values())
      await Promise.race([ended, new Promise(resolve => setTimeout(resolve, closingMs).unref())])
      closed = true
    },
  }
}
