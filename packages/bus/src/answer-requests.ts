import type { MsgHdrs } from '@nats-io/transport-node'
import type { Logger } from '@sluice/runtime'
import type { Bus } from './connect.ts'

/** What goes back to whoever asked. */
export interface Answer {
  body: Uint8Array | string
  headers?: MsgHdrs
}

/**
 * Answers requests on a subject. Of several instances one answers each; at most `concurrency` are worked on at a time,
 * the others wait. A handler that throws is logged, and whoever asked runs into their time-out and asks again.
 */
export function answerRequests(
  bus: Bus,
  subject: string,
  handle: (body: Uint8Array) => Promise<Answer>,
  options: { log: Logger; concurrency?: number },
): { close: () => Promise<void> } {
  const free = Array.from({ length: options.concurrency ?? 2 }, (_, index) => index)
  const waiting: (() => void)[] = []
  const running = new Set<Promise<void>>()
  const take = async (): Promise<number> => {
    for (;;) {
      const slot = free.pop()
      if (slot !== undefined) return slot
      await new Promise<void>(resolve => waiting.push(resolve))
    }
  }
  const subscription = bus.connection.subscribe(subject, {
    queue: subject.replaceAll('.', '-'),
    callback: (error, message) => {
      if (error) return options.log.warn({ err: error, subject }, 'subscription error')
      // Whoever asks waits for one answer at a time: what piles up here was given up on long ago.
      if (waiting.length >= 64) return
      const answering = (async () => {
        const slot = await take()
        try {
          const { body, headers } = await handle(message.data)
          message.respond(body, headers ? { headers } : {})
        } catch (err) {
          options.log.warn({ err, subject }, 'request not answered')
        } finally {
          free.push(slot)
          waiting.shift()?.()
        }
      })()
      running.add(answering)
      void answering.finally(() => running.delete(answering))
    },
  })
  return {
    close: async () => {
      subscription.unsubscribe()
      await Promise.all(running)
    },
  }
}
