import { ContractError, type EventContract } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/**
 * Listens on core NATS: for pushes whose state can also be read elsewhere, since what is sent while we are away is lost.
 * A message that does not match its schema is logged and dropped.
 */
export function subscribe<Schema extends TSchema, Args extends readonly (string | number)[]>(
  bus: Bus,
  event: EventContract<Schema, Args>,
  subject: string,
  handle: (data: Static<Schema>) => void,
  log: Logger,
): { close: () => Promise<void> } {
  const subscription = bus.connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) return log.warn({ err: error, subject }, 'subscription error')
      try {
        handle(event.decode(message.data))
      } catch (err) {
        if (!(err instanceof ContractError)) throw err
        log.error({ err, subject }, 'message dropped')
      }
    },
  })
  return { close: () => subscription.drain() }
}
