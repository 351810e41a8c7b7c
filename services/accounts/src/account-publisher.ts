import { type Bus, openBucket, publishEvent } from '@sluice/bus'
import { Key, KeyRevoked, ManagedIntegration, Project, ProjectChanged, Room, Session } from '@sluice/contracts'
import type { SendOutboxEntry } from '@sluice/postgres'
import { type AccountBucket, digestOf } from './announcement.ts'

/** Sends what the outbox holds; while NATS is away it throws and the outbox keeps the rest, in order. */
export interface AccountPublisher {
  send: SendOutboxEntry
  /** The digest of each document that a bucket holds, by its key. */
  readDigests: (bucket: AccountBucket) => Promise<Map<string, string>>
}

const source = '/accounts'

export async function createAccountPublisher(bus: Bus): Promise<AccountPublisher> {
  const [keys, projects, rooms, sessions, managed] = await Promise.all([
    openBucket(bus, 'keys', Key),
    openBucket(bus, 'projects', Project),
    openBucket(bus, 'rooms', Room),
    openBucket(bus, 'sessions', Session),
    openBucket(bus, 'managed-integrations', ManagedIntegration),
  ])
  const buckets: Record<AccountBucket, Pick<typeof keys, 'contents' | 'delete'>> = {
    keys,
    projects,
    rooms,
    sessions,
    'managed-integrations': managed,
  }
  const isOurs = (name: string): name is AccountBucket => Object.hasOwn(buckets, name)
  const bucketOf = (name: string) => {
    if (isOurs(name)) return buckets[name]
    throw new Error(`outbox names bucket ${name}, which accounts does not write`)
  }

  async function put(bucket: string, key: string, payload: string): Promise<void> {
    if (bucket === 'keys') return keys.put(key, Key.decode(payload))
    if (bucket === 'projects') return projects.put(key, Project.decode(payload))
    if (bucket === 'rooms') return rooms.put(key, Room.decode(payload))
    if (bucket === 'managed-integrations') return managed.put(key, ManagedIntegration.decode(payload))
    if (bucket === 'sessions') return sessions.put(key, Session.decode(payload))
    throw new Error(`outbox names bucket ${bucket}, which accounts does not write`)
  }

  async function publish(type: string, id: string, payload: string): Promise<void> {
    if (type === ProjectChanged.type) {
      const data = ProjectChanged.decode(payload)
      return publishEvent(bus, ProjectChanged, [], data, { id, source, timeMs: data.at_ms })
    }
    if (type === KeyRevoked.type) {
      const data = KeyRevoked.decode(payload)
      return publishEvent(bus, KeyRevoked, [], data, { id, source, timeMs: data.at_ms })
    }
    throw new Error(`outbox names event ${type}, which accounts does not publish`)
  }

  return {
    async send(entry) {
      if (entry.kind === 'kv-put') return put(entry.target, entry.key, entry.payload)
      if (entry.kind === 'kv-delete') return bucketOf(entry.target).delete(entry.key)
      return publish(entry.target, entry.key, entry.payload)
    },
    async readDigests(bucket) {
      const digests = new Map<string, string>()
      for await (const { key, value } of bucketOf(bucket).contents()) digests.set(key, digestOf(value))
      return digests
    },
  }
}
