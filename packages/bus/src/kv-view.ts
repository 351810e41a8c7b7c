import { Kvm, type KvWatchEntry } from '@nats-io/kv'
import {
  type BucketDefinition,
  type BucketName,
  buckets,
  ContractError,
  type DocumentContract,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/** A bucket in memory, kept current by a watch. */
export interface KvView<T> {
  get: (key: string) => T | undefined
  values: () => IterableIterator<T>
  entries: () => IterableIterator<[string, T]>
  readonly size: number
  /** When the view was last known to be current (ms): now, while connected. */
  freshAtMs: () => number
  close: () => Promise<void>
}

export interface KvViewOptions<T> {
  /** Called for each change, after the view holds it; `undefined`: deleted. Also for each initial value. */
  onChange?: (key: string, value: T | undefined) => void
  /** False: values are handed to `onChange` alone, and the view holds none. */
  keep?: boolean
  /** After so long without the server deletions may have been missed for good. Default: half of what the bucket keeps them; without: never. */
  longAwayMs?: number
  log: Logger
}

const lookAgainMs = 1_000

/**
 * Follows a bucket: resolves once every current value is in memory. A watch repeats values after a reconnect and may skip
 * intermediate ones, so values are states, not events. Where deletions are not kept for ever, a view that was away for long looks
 * which of its keys are there still. A value that does not match its schema is logged and skipped: the
 * one held before stays.
 */
export async function followBucket<Schema extends TSchema>(
  bus: Bus,
  bucket: BucketName,
  document: DocumentContract<Schema>,
  options: KvViewOptions<Static<Schema>>,
): Promise<KvView<Static<Schema>>> {
  const values = new Map<string, Static<Schema>>()
  const kv = await new Kvm(bus.connection).open(bucket)
  const { promise: filled, resolve: markFilled } = Promise.withResolvers<void>()
  let lastSeenMs = Date.now()

  const apply = (entry: KvWatchEntry): void => {
    if (entry.operation !== 'PUT') {
      values.delete(entry.key)
      options.onChange?.(entry.key, undefined)
      return
    }
    try {
      const value = document.decode(entry.value)
      if (options.keep !== false) values.set(entry.key, value)
      options.onChange?.(entry.key, value)
    } catch (err) {
      if (!(err instanceof ContractError)) throw err
      options.log.error({ err, bucket, key: entry.key }, 'bucket value skipped')
    }
  }

  const status = await kv.status()
  const watch = await kv.watch()
  // It would look for its server for ever, and keep the process, where the connection is closed before the view.
  void bus.connection.closed().then(() => watch.stop())
  if (status.values === 0) markFilled()
  const running = (async () => {
    for await (const entry of watch) {
      apply(entry)
      lastSeenMs = Date.now()
      if (entry.delta === 0) markFilled()
    }
  })()
  await filled

  const { deletionsKeptMs = Infinity }: BucketDefinition = buckets[bucket]
  const { longAwayMs = deletionsKeptMs / 2 } = options
  const dropGone = async (): Promise<void> => {
    const held = [...values]
    const there = new Set<string>()
    for await (const key of await kv.keys()) there.add(key)
    // One that has changed meanwhile is there.
    for (const [key, value] of held) {
      if (there.has(key) || values.get(key) !== value) continue
      values.delete(key)
      options.onChange?.(key, undefined)
    }
  }
  let lookAgain: NodeJS.Timeout | undefined
  const look = (): void => {
    dropGone().catch((err: unknown) => {
      if (bus.connection.isClosed()) return
      options.log.warn({ err, bucket }, 'keys of a bucket not looked through, will be tried again')
      lookAgain = setTimeout(look, lookAgainMs)
    })
  }
  const stopHearing = bus.onBack(awayMs => {
    if (awayMs < longAwayMs) return
    clearTimeout(lookAgain)
    look()
  })

  return {
    get: key => values.get(key),
    values: () => values.values(),
    entries: () => values.entries(),
    get size() {
      return values.size
    },
    freshAtMs: () => {
      if (bus.isConnected()) lastSeenMs = Date.now()
      return lastSeenMs
    },
    close: async () => {
      stopHearing()
      clearTimeout(lookAgain)
      watch.stop()
      await running
    },
  }
}
