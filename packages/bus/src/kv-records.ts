import { Kvm } from '@nats-io/kv'
import type { BucketName, DocumentContract } from '@sluice/contracts'
import type { Static, TSchema } from 'typebox'
import type { Bus } from './connect.ts'

/** A document with the revision that a compare-and-set names. */
export interface KvRecord<T> {
  value: T
  revision: number
}

/** Documents that several processes write: every write says which revision it replaces. */
export interface KvRecords<T> {
  get: (key: string) => Promise<KvRecord<T> | undefined>
  /** Makes a document. @returns its revision; undefined where there is one already */
  create: (key: string, value: T) => Promise<number | undefined>
  /** Replaces one revision. @returns the new one; undefined where somebody else was first */
  update: (key: string, value: T, revision: number) => Promise<number | undefined>
  /** Keys that match a pattern such as `a.*`. */
  keys: (pattern: string) => Promise<string[]>
  /** Removes one revision. @returns false where somebody else has changed it */
  delete: (key: string, revision: number) => Promise<boolean>
}

/** Opens a bucket for compare-and-set. Values are checked against the schema in both directions. */
export async function openRecords<Schema extends TSchema>(
  bus: Bus,
  bucket: BucketName,
  document: DocumentContract<Schema>,
): Promise<KvRecords<Static<Schema>>> {
  const kv = await new Kvm(bus.connection).open(bucket)
  return {
    async get(key) {
      const entry = await kv.get(key)
      if (entry?.operation !== 'PUT') return undefined
      return { value: document.decode(entry.value), revision: entry.revision }
    },
    create: (key, value) => unlessConflict(() => kv.create(key, document.encode(value))),
    update: (key, value, revision) => unlessConflict(() => kv.update(key, document.encode(value), revision)),
    async keys(pattern) {
      const keys: string[] = []
      for await (const key of await kv.keys(pattern)) keys.push(key)
      return keys
    },
    async delete(key, revision) {
      const done = await unlessConflict(async () => {
        await kv.delete(key, { previousSeq: revision })
        return true
      })
      return done === true
    },
  }
}

/** JetStream's codes for "wrong last sequence". */
const wrongSequence: ReadonlySet<unknown> = new Set([10071, 10164])

async function unlessConflict<T>(write: () => Promise<T>): Promise<T | undefined> {
  try {
    return await write()
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (wrongSequence.has(code)) return undefined
    throw error
  }
}
