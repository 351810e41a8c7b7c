import {
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { type BucketDefinition, type BucketName, buckets, type DocumentContract } from '@sluice/contracts'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/** Writes documents of one bucket. Only the bucket's owner (contracts, `buckets`) has the permission. */
export interface KvWriter<T> {
  put: (key: string, value: T) => Promise<void>
  delete: (key: string) => Promise<void>
  /** Which of its values a key has; undefined: none. */
  revisionOf: (key: string) => Promise<number | undefined>
  /** Deletes a key that still has the value of this revision. @returns false: another was written meanwhile, and stays */
  deleteAt: (key: string, revision: number) => Promise<boolean>
  get: (key: string) => Promise<T | undefined>
  keys: () => Promise<string[]>
  /** Everything the bucket holds, as bytes and unchecked, a few hundred at a time; what is written meanwhile may be left out. */
  contents: () => AsyncGenerator<{ key: string; value: Uint8Array }>
  /**
   * Removes what keys that were deleted long ago have left behind: each stands there for ever as a message that says so, and every view
   * reads it at its start. Only of buckets that say how long deletions are kept (contracts, `buckets`). @returns how many, `most` or fewer
   */
  forgetDeletions: (nowMs: number, most: number) => Promise<number>
}

const contentsAtOnce = 500
const forgottenAtOnce = 100
/** What JetStream answers to whoever expected another revision. */
const otherRevision: ReadonlySet<number> = new Set([
  JetStreamApiCodes.StreamWrongLastSequence,
  JetStreamApiCodes.StreamWrongLastSequenceUnknown,
])

/** Opens a bucket for writing. Values are checked against the schema before they are sent. */
export async function openBucket<Schema extends TSchema>(
  bus: Bus,
  bucket: BucketName,
  document: DocumentContract<Schema>,
): Promise<KvWriter<Static<Schema>>> {
  const kv = await new Kvm(bus.connection).open(bucket)
  return {
    put: async (key, value) => {
      await kv.put(key, document.encode(value))
    },
    delete: async key => {
      await kv.delete(key)
    },
    revisionOf: async key => {
      const entry = await kv.get(key)
      return entry?.operation === 'PUT' ? entry.revision : undefined
    },
    deleteAt: async (key, revision) => {
      try {
        await kv.delete(key, { previousSeq: revision })
        return true
      } catch (error) {
        if (error instanceof JetStreamApiError && otherRevision.has(error.code)) return false
        throw error
      }
    },
    get: async key => {
      const entry = await kv.get(key)
      return entry && entry.operation === 'PUT' ? document.decode(entry.value) : undefined
    },
    keys: async () => {
      const keys: string[] = []
      for await (const key of await kv.keys()) keys.push(key)
      return keys
    },
    contents: () => readContents(bus, bucket),
    forgetDeletions: (nowMs, most) => forgetDeletions(bus, bucket, nowMs, most),
  }
}

async function* readContents(bus: Bus, bucket: BucketName): AsyncGenerator<{ key: string; value: Uint8Array }> {
  const prefix = `$KV.${bucket}.`
  for await (const message of readMessages(bus, bucket, false))
    if (!isDeletion(message)) yield { key: message.subject.slice(prefix.length), value: message.data }
}

async function forgetDeletions(bus: Bus, bucket: BucketName, nowMs: number, most: number): Promise<number> {
  const { deletionsKeptMs = Infinity }: BucketDefinition = buckets[bucket]
  const beforeMs = nowMs - deletionsKeptMs
  const deletions: { filter: string; seq: number }[] = []
  for await (const message of readMessages(bus, bucket, true)) {
    if (!isDeletion(message) || message.time.getTime() >= beforeMs) continue
    // What is written behind it meanwhile stays.
    deletions.push({ filter: message.subject, seq: message.seq + 1 })
    if (deletions.length >= most) break
  }
  const { streams } = await jetstreamManager(bus.connection, { checkAPI: false, timeout: 5_000 })
  for (let at = 0; at < deletions.length; at += forgottenAtOnce) {
    const some = deletions.slice(at, at + forgottenAtOnce)
    await Promise.all(some.map(deletion => streams.purge(`KV_${bucket}`, deletion)))
  }
  return deletions.length
}

/** Deletions stay behind as messages that say so. */
function isDeletion({ headers }: JsMsg): boolean {
  return headers?.has('KV-Operation') === true || headers?.has('Nats-Marker-Reason') === true
}

/** The last message of each key. */
async function* readMessages(bus: Bus, bucket: BucketName, headersOnly: boolean): AsyncGenerator<JsMsg> {
  const consumer = await jetstream(bus.connection, { timeout: 5_000 }).consumers.get(`KV_${bucket}`, {
    name_prefix: `contents-${bucket}-${Date.now()}`,
    deliver_policy: DeliverPolicy.LastPerSubject,
    headers_only: headersOnly,
  })
  try {
    for (let isDone = (await consumer.info()).num_pending === 0; !isDone; ) {
      isDone = true
      for await (const message of await consumer.fetch({ max_messages: contentsAtOnce, expires: 2_000 })) {
        isDone = message.info.pending === 0
        yield message
        if (isDone) break
      }
    }
  } finally {
    await consumer.delete()
  }
}
