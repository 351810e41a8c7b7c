import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'
import { type NatsConnection, nanos } from '@nats-io/transport-node'
import {
  type BucketDefinition,
  buckets,
  type ConsumerDefinition,
  consumers,
  objectStores,
  type StreamDefinition,
  streams,
} from '@sluice/contracts'
import { StackError } from './stack-error.ts'

export interface ProvisionOptions {
  /** Copies of every stream: 1 on one server, 3 on a cluster. */
  replicas?: number
}

type StreamPlan = Partial<StreamConfig> & { name: string; subjects: string[] }
type ConsumerPlan = Partial<ConsumerConfig> & { durable_name: string }

/**
 * Makes every stream, bucket, object store and durable consumer of the contracts, or changes them to what the contracts
 * say. Nothing is deleted. Reads all of it back and compares.
 * @throws StackError naming what the server holds differently
 */
export async function provisionBus(connection: NatsConnection, options: ProvisionOptions = {}): Promise<void> {
  const manager = await jetstreamManager(connection, { timeout: 10_000 })
  const replicas = options.replicas ?? 1
  await Promise.all(planStreams(replicas).map(plan => provisionStream(manager, plan)))
  await Promise.all(planConsumers().map(({ stream, plan }) => provisionConsumer(manager, stream, plan)))
}

/** What the contracts ask for, as stream configurations; buckets and object stores are streams by name. */
export function planStreams(replicas: number): StreamPlan[] {
  const common = {
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: replicas,
    allow_direct: true,
  }
  const plain = Object.entries<StreamDefinition>(streams).map(([name, definition]) => ({
    ...common,
    ...(definition.untilAcknowledged ? { retention: RetentionPolicy.Workqueue } : {}),
    name,
    description: definition.description,
    subjects: [...definition.subjects],
    max_age: nanos(definition.maxAgeMs),
    max_bytes: definition.maxBytes,
    duplicate_window: nanos(definition.duplicateWindowMs),
    discard: definition.discard === 'new' ? DiscardPolicy.New : DiscardPolicy.Old,
  }))
  // The layout every NATS client library knows as a KV bucket and as an object store.
  const keyValue = Object.entries<BucketDefinition>(buckets).map(([bucket, { description, maxAgeMs, maxBytes }]) => ({
    ...common,
    name: `KV_${bucket}`,
    description,
    subjects: [`$KV.${bucket}.>`],
    ...(maxAgeMs === undefined ? {} : { max_age: nanos(maxAgeMs) }),
    ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
    max_msgs_per_subject: 1,
    discard: maxBytes === undefined ? DiscardPolicy.New : DiscardPolicy.Old,
    deny_delete: true,
    allow_rollup_hdrs: true,
  }))
  const objects = Object.entries(objectStores).map(([store, { description }]) => ({
    ...common,
    name: `OBJ_${store}`,
    description,
    subjects: [`$O.${store}.C.>`, `$O.${store}.M.>`],
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
  }))
  return [...plain, ...keyValue, ...objects]
}

/** Durable pull consumers: explicit ack, delivered again for ever until acked. */
export function planConsumers(): { stream: string; plan: ConsumerPlan }[] {
  return Object.entries<ConsumerDefinition>(consumers).map(([durable, definition]) => ({
    stream: definition.stream,
    plan: {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      // What was on its way when a connection broke comes again after this; whoever works longer says so meanwhile.
      ack_wait: nanos(5_000),
      deliver_policy: DeliverPolicy.All,
      replay_policy: ReplayPolicy.Instant,
      max_deliver: -1,
      max_ack_pending: definition.oneByOne ? 1 : 1000,
      filter_subjects: [...definition.filterSubjects],
    },
  }))
}

async function provisionStream(manager: JetStreamManager, plan: StreamPlan): Promise<void> {
  try {
    const present = await unlessMissing(() => manager.streams.info(plan.name))
    if (present === undefined) await manager.streams.add(plan)
    else if (findDifference(plan, present.config)) await manager.streams.update(plan.name, plan)
  } catch (cause) {
    throw new StackError(`NATS stream ${plan.name} cannot be made: ${text(cause)}`, { cause })
  }
  const { config } = await manager.streams.info(plan.name)
  const difference = findDifference(plan, config)
  if (difference) throw new StackError(`NATS stream ${plan.name} differs from what Sluice needs: ${difference}`)
}

async function provisionConsumer(manager: JetStreamManager, stream: string, plan: ConsumerPlan): Promise<void> {
  const name = plan.durable_name
  try {
    const present = await unlessMissing(() => manager.consumers.info(stream, name))
    if (present === undefined) await manager.consumers.add(stream, plan)
    else if (findDifference(plan, present.config)) await manager.consumers.update(stream, name, plan)
  } catch (cause) {
    throw new StackError(`NATS consumer ${name} cannot be made: ${text(cause)}`, { cause })
  }
  const { config } = await manager.consumers.info(stream, name)
  const difference = findDifference(plan, config)
  if (difference) throw new StackError(`NATS consumer ${name} differs from what Sluice needs: ${difference}`)
}

async function unlessMissing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined
    throw error
  }
}

/** The first field of a plan that the server holds differently, in words. The server adds fields of its own. */
export function findDifference(plan: object, actual: object): string | undefined {
  const held = actual as Record<string, unknown>
  for (const [field, wanted] of Object.entries(plan)) {
    let found = held[field]
    // A consumer with one filter comes back with the field in its singular.
    if (field === 'filter_subjects' && found === undefined && held.filter_subject !== undefined)
      found = [held.filter_subject]
    if (JSON.stringify(found) !== JSON.stringify(wanted))
      return `${field} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`
  }
  return undefined
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
