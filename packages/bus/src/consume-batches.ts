import { type JsMsg, jetstream } from '@nats-io/jetstream'
import { type ConsumerName, consumers } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { Bus } from './connect.ts'

export type { JsMsg } from '@nats-io/jetstream'

export interface BatchConsumerOptions {
  /**
   * Applies a batch in one transaction: decode → idempotent write → commit. When it returns, every message of the batch is
   * acknowledged; when it throws, none is, and the same messages come again. What can never be applied is for the handler
   * to put into its dead-letter table in the same transaction.
   */
  handle: (messages: JsMsg[]) => Promise<void>
  /** Most messages in one batch. */
  maxMessages?: number
  log: Logger
}

/** A running consumer. */
export interface BatchConsumer {
  /** Settles the batch under way, then stops. */
  close: () => Promise<void>
  /** True while messages are fetched and applied without errors. */
  isHealthy: () => boolean
}

/** Well within the consumers' ack wait (5 s), which is short so that what was under way when the server went comes soon again. */
const workingMs = 1_500
const retryDelaysMs = [100, 250, 500, 1_000, 2_000, 5_000]

/**
 * Consumes a durable consumer in batches: whatever is there, at most `maxMessages`, without waiting for more. A failed
 * batch is tried again with growing pauses, for ever: order is kept, nothing is skipped. Long work is announced to the
 * server so that it does not redeliver meanwhile.
 */
export async function consumeBatches(
  bus: Bus,
  name: ConsumerName,
  options: BatchConsumerOptions,
): Promise<BatchConsumer> {
  const { stream } = consumers[name]
  const consumer = await jetstream(bus.connection, { timeout: 5_000 }).consumers.get(stream, name)
  const maxMessages = options.maxMessages ?? 64
  const stopping = new AbortController()
  const stopped = new Promise<null>(resolve => stopping.signal.addEventListener('abort', () => resolve(null)))
  let healthy = true

  const pause = (ms: number): Promise<void> =>
    new Promise(resolve => {
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        stopping.signal.removeEventListener('abort', done)
        resolve()
      }
      stopping.signal.addEventListener('abort', done)
    })

  async function apply(batch: JsMsg[]): Promise<void> {
    for (let tries = 0; !stopping.signal.aborted; tries++) {
      const working = setInterval(() => {
        for (const message of batch) message.working()
      }, workingMs)
      try {
        await options.handle(batch)
        healthy = true
        // Acks go after the commit: a crash in between only brings the batch again, and it is then known.
        for (const message of batch) message.ack()
        return
      } catch (err) {
        healthy = false
        options.log.error({ err, consumer: name, messages: batch.length, tries }, 'batch failed, will be tried again')
        await pause(retryDelaysMs[Math.min(tries, retryDelaysMs.length - 1)] ?? 5_000)
      } finally {
        clearInterval(working)
      }
    }
    for (const message of batch) message.nak()
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        // One long pull brings the first message at once; what has piled up behind it comes in the same batch.
        const next = consumer.next({ expires: 5_000 })
        const first = await Promise.race([next, stopped])
        if (stopping.signal.aborted) {
          // The pull may still be answered: that message goes back at once instead of waiting for its time to run out.
          void next.then(message => message?.nak()).catch(() => undefined)
          break
        }
        if (!first) {
          // Asked and answered: there is nothing. Fetching works again, also where no batch comes to show it.
          healthy = bus.isConnected()
          continue
        }
        const batch = [first]
        if (maxMessages > 1 && first.info.pending > 0) {
          const more = await consumer.fetch({
            max_messages: Math.min(maxMessages - 1, first.info.pending),
            expires: 1_000,
          })
          for await (const message of more) batch.push(message)
        }
        await apply(batch)
      } catch (err) {
        if (stopping.signal.aborted) break
        healthy = bus.isConnected()
        options.log.warn({ err, consumer: name }, 'fetching failed, will be tried again')
        await pause(500)
      }
    }
  })()

  return {
    isHealthy: () => healthy,
    close: async () => {
      stopping.abort()
      await running
    },
  }
}
