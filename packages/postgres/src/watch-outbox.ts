import type { Kysely } from 'kysely'
import { listWaitingEntries, type WaitingEntries } from './outbox.ts'

export interface OutboxWatchOptions {
  everyMs?: number
  /** What the relay sends apart. */
  apart?: readonly string[]
  onWaiting: (waiting: readonly WaitingEntries[]) => void
  onError: (error: unknown) => void
}

/** Looks again and again at what waits to be sent, for a metric and its alarm. */
export function watchOutbox<Tables>(
  db: Kysely<Tables>,
  { everyMs = 15_000, apart, onWaiting, onError }: OutboxWatchOptions,
) {
  const look = async (): Promise<void> => onWaiting(await listWaitingEntries(db, apart))
  let looking = Promise.resolve()
  const next = (): void => {
    looking = looking.then(look).catch(onError)
  }
  next()
  const timer = setInterval(next, everyMs)
  return {
    close: async (): Promise<void> => {
      clearInterval(timer)
      await looking
    },
  }
}
