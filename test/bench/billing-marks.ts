import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import type { NatsConnection } from '@nats-io/transport-node'
import { Mark, rangeFromHeaders, seriesKey } from '@sluice/contracts'

/**
 * Says each second what billing would say: every event in the stream is posted. Without marks a gateway publishes all its events
 * a second time and keeps every segment, which no gateway with a billing service does; a billing service on the load's core would
 * take from the load what the gateway needs to be busy. Reads headers only.
 */
export async function startMarks(connection: NatsConnection): Promise<{ stop: () => Promise<void> }> {
  const manager = await jetstreamManager(connection)
  const { name } = await manager.consumers.add('USAGE', {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
    filter_subject: 'usage.recorded.v1.*',
    headers_only: true,
    inactive_threshold: 60_000_000_000,
  })
  const messages = await (await jetstream(connection).consumers.get('USAGE', name)).consume()
  const lasts = new Map<string, number>()
  const reading = (async () => {
    for await (const message of messages) {
      const range = rangeFromHeaders(header => message.headers?.get(header) ?? '')
      lasts.set(seriesKey(range), range.last)
    }
  })()
  const bucket = await new Kvm(connection).open('marks')
  const say = async (key: string, last: number) => {
    try {
      await bucket.put(key, Mark.encode({ contiguous: last, last, updated_at_ms: Date.now() }))
    } catch (error) {
      // A full machine answers late; the next second says it again.
      lasts.set(key, Math.max(last, lasts.get(key) ?? 0))
      process.stderr.write(`· a mark was not stored: ${error instanceof Error ? error.message : error}\n`)
    }
  }
  const timer = setInterval(() => {
    const unsaid = [...lasts]
    lasts.clear()
    for (const [key, last] of unsaid) void say(key, last)
  }, 1_000)
  return {
    async stop() {
      clearInterval(timer)
      await messages.close()
      await reading
    },
  }
}
