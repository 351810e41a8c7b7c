/**
 * A client of streams that are cut, as a process of its own: what it sees is not late by what else the bench does. Each message
 * from its parent opens a stream at every gateway; it says when all run, and at their end when each had it.
 */
import { once } from 'node:events'
import { connect as connectTo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { BudgetCutoff } from '@sluice/contracts'

export interface CutJob {
  nats: { url: string; user: string; pass: string }
  origins: string[]
  apiKey: string
  /** Of each stream. */
  body: string
}

/** Milliseconds from when the bus has the event that spends the budget. */
export interface CutTimes {
  pushedMs: number
  endedMs: number[]
}

const lastChunk = Buffer.from('0\r\n\r\n')

/** A running stream; undefined: this gateway has not heard yet that there is money again. */
function openStream(origin: string, { apiKey, body }: CutJob): Promise<{ ended: Promise<number> } | undefined> {
  const { hostname, port, host } = new URL(origin)
  const socket = connectTo(Number(port), hostname)
  const { promise: ended, resolve: markEnded } = Promise.withResolvers<number>()
  socket.setNoDelay()
  socket.write(
    `POST /openai/v1/chat/completions HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${apiKey}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return new Promise((resolve, reject) => {
    let isOpen = false
    socket.on('error', error => reject(error))
    socket.on('data', bytes => {
      if (!isOpen) {
        isOpen = bytes.toString('latin1', 0, 13) === 'HTTP/1.1 200 '
        if (!isOpen) socket.destroy()
        resolve(isOpen ? { ended } : undefined)
      }
      if (bytes.subarray(-lastChunk.length).equals(lastChunk)) markEnded(performance.now())
    })
  })
}

async function untilOpen(origin: string, job: CutJob): Promise<{ ended: Promise<number> }> {
  for (;;) {
    const stream = await openStream(origin, job)
    if (stream) return stream
    await delay(20)
  }
}

async function main(): Promise<void> {
  const [job] = (await once(process, 'message')) as [CutJob]
  const bus = await connect({ servers: job.nats.url, user: job.nats.user, pass: job.nats.pass })
  const hear = (subject: string): Promise<number> =>
    new Promise(resolve => {
      bus.subscribe(subject, { max: 1, callback: () => resolve(performance.now()) })
    })
  process.on('message', async () => {
    const streams = await Promise.all(job.origins.map(origin => untilOpen(origin, job)))
    const heard = Promise.all([hear('usage.recorded.v1.*'), hear(BudgetCutoff.subject())])
    await bus.flush()
    process.send?.('running')
    const ended = await Promise.all(streams.map(stream => stream.ended))
    const [publishedAt, pushedAt] = await heard
    const times: CutTimes = { pushedMs: pushedAt - publishedAt, endedMs: ended.map(at => at - publishedAt) }
    process.send?.(times)
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

if (process.argv[1] === import.meta.filename) await main()
