import { DeliverPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { type ConsumerName, consumers } from '@sluice/contracts'
import type { Bus } from './connect.ts'

/**
 * Reads what a durable consumer was given before, from message `fromSeq` of its stream on, acked or not, in batches and in
 * order. For a consumer whose database is behind its acks (restored from a backup) or that misses something. What the
 * durable consumer has not been given yet is left to it.
 * @returns how many messages were read
 */
export async function readAgain(
  bus: Bus,
  name: ConsumerName,
  fromSeq: number,
  handle: (messages: JsMsg[]) => Promise<void>,
  maxMessages = 64,
): Promise<number> {
  const { stream, filterSubjects } = consumers[name]
  const js = jetstream(bus.connection, { timeout: 5_000 })
  const manager = await jetstreamManager(bus.connection, { timeout: 5_000 })
  const { delivered } = await manager.consumers.info(stream, name)
  const lastSeq = delivered.stream_seq
  if (fromSeq > lastSeq) return 0
  // The library names a consumer in the request's subject, which is what permissions are checked by, only where it has no
  // list of filters: the whole stream is read and filtered here.
  const consumer = await js.consumers.get(stream, {
    name_prefix: `again-${name}-${Date.now()}`,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: Math.max(1, fromSeq),
  })
  let read = 0
  for (let done = (await consumer.info()).num_pending === 0; !done; ) {
    const batch: JsMsg[] = []
    for await (const message of await consumer.fetch({ max_messages: maxMessages, expires: 2_000 })) {
      if (message.seq <= lastSeq && filterSubjects.some(filter => matches(filter, message.subject))) batch.push(message)
      done = message.seq >= lastSeq || message.info.pending === 0
      // The last one is there: nothing is gained by waiting for the pull to end.
      if (done) break
    }
    if (batch.length > 0) await handle(batch)
    read += batch.length
  }
  await consumer.delete()
  return read
}

/** Whether a subject is one a filter names; `*` stands for one token. */
function matches(filter: string, subject: string): boolean {
  const wanted = filter.split('.')
  const tokens = subject.split('.')
  return wanted.length === tokens.length && wanted.every((token, index) => token === '*' || token === tokens[index])
}
