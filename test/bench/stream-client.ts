/**
 * A client of many slow streams, as a process of its own: `node stream-client.ts <json>`. Opens the streams evenly over
 * half a second, counts what arrives, prints one line of JSON.
 */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Endpoint } from './load-closed.ts'
import { percentile } from './statistics.ts'

export interface StreamJob extends Endpoint {
  body: string
  streams: number
  eventsPerStream: number
  bytesPerStream: number
}

export interface StreamResult {
  ttftP50Ms: number
  ttftP99Ms: number
  events: number
  /** Events that the provider sent and the client did not see. */
  lost: number
  /** Streams whose length differs from the provider's. */
  changed: number
  failed: number
}

const needle = Buffer.from('data: {')

interface Seen {
  ttftMs: number | undefined
  events: number
  bytes: number
  failed: boolean
}

function openStream(job: StreamJob, agent: Agent): Promise<Seen> {
  const seen: Seen = { ttftMs: undefined, events: 0, bytes: 0, failed: false }
  return new Promise(resolve => {
    const startedAt = performance.now()
    const fail = () => {
      seen.failed = true
      resolve(seen)
    }
    const headers = {
      'content-type': 'application/json',
      ...job.headers,
      'content-length': Buffer.byteLength(job.body),
    }
    const outgoing = request(job.url, { method: 'POST', headers, agent }, response => {
      if (response.statusCode !== 200) seen.failed = true
      let tail: Buffer = Buffer.alloc(0)
      response.on('data', (chunk: Buffer) => {
        seen.ttftMs ??= performance.now() - startedAt
        seen.bytes += chunk.length
        const text = tail.length === 0 ? chunk : Buffer.concat([tail, chunk])
        let at = 0
        for (let found = text.indexOf(needle); found !== -1; found = text.indexOf(needle, at)) {
          seen.events++
          at = found + needle.length
        }
        tail = text.subarray(Math.max(at, text.length - needle.length + 1))
      })
      response.on('end', () => resolve(seen))
      response.on('error', fail)
      response.on('aborted', fail)
    })
    outgoing.on('error', fail)
    outgoing.end(job.body)
  })
}

async function main(job: StreamJob): Promise<StreamResult> {
  const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY })
  const streams: Promise<Seen>[] = []
  const startedAt = performance.now()
  for (let i = 0; i < job.streams; i++) {
    const due = startedAt + (500 * i) / job.streams
    if (due > performance.now() + 1) await delay(due - performance.now())
    streams.push(openStream(job, agent))
  }
  const all = await Promise.all(streams)
  const times = all.flatMap(seen => (seen.ttftMs === undefined ? [] : [seen.ttftMs])).sort((a, b) => a - b)
  const events = all.reduce((sum, seen) => sum + seen.events, 0)
  return {
    ttftP50Ms: percentile(times, 0.5),
    ttftP99Ms: percentile(times, 0.99),
    events,
    lost: job.streams * job.eventsPerStream - events,
    changed: all.filter(seen => seen.bytes !== job.bytesPerStream).length,
    failed: all.filter(seen => seen.failed).length,
  }
}

const [, script, argument] = process.argv
if (script === import.meta.filename && argument !== undefined) {
  const result = await main(JSON.parse(argument) as StreamJob)
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
