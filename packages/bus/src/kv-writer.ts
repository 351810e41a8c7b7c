import { Kvm } from '@nats-io/kv'
import type { BucketName, DocumentContract } from '@sluice/contracts'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/** Writes documents of one bucket. Only the bucket's owner (contracts, `buckets`) has the permission. */
export interface KvWriter<T> {
  put: (key: string, value: T) => Promise<void>
  delete: (key: string) => Promise<void>
  get: (key: string) => Promise<T | undefined>
  keys: () => Promise<string[]>
}

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
    get: async key => {
      const entry = await kv.get(key)
      return entry && entry.operation === 'PUT' ? document.decode(entry.value) : undefined
    },
    keys: async () => {
      const keys: string[] = []
      for await (const key of await kv.keys()) keys.push(key)
      return keys
    },
  }
}
