import { jetstream } from '@nats-io/jetstream'
import type { BucketName, DocumentContract } from '@sluice/contracts'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/** Writes documents in groups, at a small part of what as many single writes cost. */
export interface KvGroupWriter<T> {
  /**
   * Resolves when the bucket has the group. Only its last document is acknowledged: what was published before it on the same
   * connection was taken before it. A server that changes leaders in between may lose some of the others.
   */
  put: (group: readonly { key: string; value: T }[]) => Promise<void>
}

/** Opens a bucket for writing in groups. Only the bucket's owner (contracts, `buckets`) has the permission. */
export function openGroupWriter<Schema extends TSchema>(
  bus: Bus,
  bucket: BucketName,
  document: DocumentContract<Schema>,
): KvGroupWriter<Static<Schema>> {
  const stream = jetstream(bus.connection, { timeout: 5_000 })
  return {
    async put(group) {
      for (const [at, { key, value }] of group.entries()) {
        const subject = `$KV.${bucket}.${key}`
        if (at < group.length - 1) bus.connection.publish(subject, document.encode(value))
        else await stream.publish(subject, document.encode(value))
      }
    },
  }
}
