import { type Bus, publishEvent } from '@sluice/bus'
import { UsageAdjusted } from '@sluice/contracts'
import type { SendOutboxEntry } from '@sluice/postgres'

/** Sends committed corrections to the stream, in their order. One that is sent twice is the same number again. */
export function createOutboxPublisher(bus: Bus): SendOutboxEntry {
  return async ({ kind, target, key, payload }) => {
    if (kind !== 'event' || target !== UsageAdjusted.type)
      throw new Error(`outbox entry ${kind} ${target} has no place to go`)
    const adjusted = UsageAdjusted.decode(payload)
    await publishEvent(bus, UsageAdjusted, [], adjusted, {
      id: key,
      source: '/billing',
      timeMs: adjusted.adjusted_at_ms,
    })
  }
}
