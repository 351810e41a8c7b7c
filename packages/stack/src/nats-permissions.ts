import {
  type BucketDefinition,
  type BucketName,
  buckets,
  consumers,
  objectStores,
  type ServiceName,
  type StreamDefinition,
  serviceNames,
  streams,
  subjectPermissions,
} from '@sluice/contracts'

/** What one NATS user may do. Where a subject is in both, `deny` wins. */
export interface NatsPermissions {
  publish: { allow: string[]; deny: string[] }
  subscribe: { allow: string[] }
}

/** Who reads which bucket, beside its writer. Whoever serves people reads keys, projects and sessions to know the caller. */
export const bucketReaders: Record<BucketName, readonly ServiceName[]> = {
  keys: serviceNames,
  projects: serviceNames,
  rooms: ['gateway'],
  'managed-integrations': ['gateway'],
  sessions: serviceNames,
  budgets: ['gateway'],
  'budget-windows': ['gateway'],
  cutoffs: ['gateway'],
  stops: ['gateway'],
  'price-books': ['gateway', 'analytics'],
  marks: ['gateway'],
  'stored-responses': [],
  'background-responses': [],
  'made-objects': [],
  containers: [],
  'realtime-calls': [],
  batches: [],
  files: [],
}

const objectStoreReaders: Record<keyof typeof objectStores, readonly ServiceName[]> = {
  'price-books': ['gateway', 'analytics'],
}

/** Prefix of a service's own inboxes: no service can listen to the answers another one gets. */
export function inboxPrefix(user: string): string {
  return `_INBOX_${user}`
}

/**
 * The least a service needs: its subjects, its own durable consumers, writing the buckets it owns, reading those it
 * follows. Streams, buckets and durable consumers are made by `provisionBus` alone.
 */
export function natsPermissions(service: ServiceName): NatsPermissions {
  const own = subjectPermissions[service]
  const allow = new Set<string>([...own.publish, '$JS.API.INFO'])
  const deny = new Set<string>()

  const readStreams = new Set<string>()
  for (const [durable, consumer] of Object.entries(consumers)) {
    if (consumer.service !== service) continue
    readStreams.add(consumer.stream)
    allow.add(`$JS.API.CONSUMER.MSG.NEXT.${consumer.stream}.${durable}`)
    allow.add(`$JS.ACK.${consumer.stream}.${durable}.>`)
  }
  for (const [bucket, { writer, deletionsKeptMs }] of Object.entries(buckets) as [BucketName, BucketDefinition][]) {
    if (writer === service) allow.add(`$KV.${bucket}.>`)
    if (writer === service && deletionsKeptMs !== undefined) allow.add(`$JS.API.STREAM.PURGE.KV_${bucket}`)
    if (writer === service || bucketReaders[bucket].includes(service)) readStreams.add(`KV_${bucket}`)
  }
  for (const [store, { writer }] of Object.entries(objectStores) as [
    keyof typeof objectStores,
    { writer: ServiceName },
  ][]) {
    if (writer === service) {
      allow.add(`$O.${store}.C.>`)
      allow.add(`$O.${store}.M.>`)
      allow.add(`$JS.API.STREAM.PURGE.OBJ_${store}`)
    }
    if (writer === service || objectStoreReaders[store].includes(service)) readStreams.add(`OBJ_${store}`)
  }

  for (const [stream, { purgedBy, readBy }] of Object.entries<StreamDefinition>(streams)) {
    if (readBy === service) readStreams.add(stream)
    if (purgedBy !== service) continue
    allow.add(`$JS.API.STREAM.PURGE.${stream}`)
    allow.add(`$JS.API.CONSUMER.LIST.${stream}`)
  }

  for (const stream of readStreams) {
    allow.add(`$JS.API.STREAM.INFO.${stream}`)
    allow.add(`$JS.API.STREAM.MSG.GET.${stream}`)
    allow.add(`$JS.API.DIRECT.GET.${stream}`)
    allow.add(`$JS.API.DIRECT.GET.${stream}.>`)
    allow.add(`$JS.API.CONSUMER.INFO.${stream}.*`)
    // Ephemeral consumers, to follow a bucket and to read a stream again; always by name (`name_prefix`): a request whose
    // subject names none could name another service's durable consumer in its body.
    for (const verb of ['CREATE', 'DELETE', 'MSG.NEXT']) allow.add(`$JS.API.CONSUMER.${verb}.${stream}.*`)
    allow.add(`$JS.API.CONSUMER.CREATE.${stream}.*.>`)
    allow.add(`$JS.FC.${stream}.>`)
    for (const [durable, consumer] of Object.entries(consumers)) {
      if (consumer.stream !== stream) continue
      deny.add(`$JS.API.CONSUMER.CREATE.${stream}.${durable}`)
      deny.add(`$JS.API.CONSUMER.CREATE.${stream}.${durable}.>`)
      deny.add(`$JS.API.CONSUMER.DELETE.${stream}.${durable}`)
      if (consumer.service !== service) deny.add(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`)
    }
  }
  return {
    publish: { allow: [...allow].sort(), deny: [...deny].sort() },
    subscribe: { allow: [`${inboxPrefix(service)}.>`, ...own.subscribe] },
  }
}
