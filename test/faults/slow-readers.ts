import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type TestStack } from '@sluice/test-env'
import { readLedger } from './accounts-of-a-run.ts'
import { startFloodProvider } from './flood-provider.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  readers: number
  megabytesPerCall: number
  readForMs: number
  /** Behind a reader that left its provider is read on for so long; then the call is settled by what has come. */
  drainMs: number
  /** Most that the gateway may grow by while they read. */
  maxGrowthMiB: number
  /** And until they are settled: a flood that is read on leaves garbage, however few they were. */
  maxFloodGrowthMiB: number
}

const MiB = 1024 * 1024
/** Once it is no longer read on, for the last event to reach the ledger. */
const settledWithinMs = 30_000

/** What a client does not take is kept for it. */
const withoutBackpressure: Replacement[] = [
  {
    file: 'services/gateway/src/relay.ts',
    from: 'if (this.#response.write(bytes)) return',
    to: 'this.#response.write(bytes); return',
  },
]

/** Clients that take an answer far more slowly than its provider gives it, many at once: half of them a stream, half a plain one. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const provider = await startFloodProvider(size.megabytesPerCall * MiB)
  const stack = await at.stack({
    services: ['accounts', 'billing', 'budget', 'gateway'],
    // A flood for each of them: by default it would be read for five minutes.
    env: {
      GATEWAY_OPENAI_BASE_URL: `${provider.url}/v1`,
      GATEWAY_OPENAI_API_KEY: 'sk-flood',
      GATEWAY_CLIENT_ABORT_DRAIN_MS: String(size.drainMs),
    },
  })
  at.scope.after(() => provider.close())
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  // One that reads on, so that everything is loaded before it is measured.
  for (const body of bodies) await readWhole(stack, body)
  const base = residentBytes(stack)
  const samples: { atMs: number; rssMiB: number; sentMiB: number }[] = []
  const sentBefore = provider.sent
  const sockets: Socket[] = []
  let worst = 0
  let read = 0
  let sentBytes = 0
  const sample = () => {
    const rss = residentBytes(stack)
    worst = Math.max(worst, rss)
    samples.push({
      atMs: Date.now(),
      rssMiB: Math.round(rss / MiB),
      sentMiB: Math.round((provider.sent - sentBefore) / MiB),
    })
  }
  try {
    for (let i = 0; i < size.readers; i++) {
      const socket = await openReader(stack, bodies[i % bodies.length] ?? '')
      socket.on('data', chunk => {
        read += chunk.length
        // 64 kB, and then nothing for a while.
        socket.pause()
        setTimeout(() => socket.resume(), 1_000).unref()
      })
      sockets.push(socket)
    }
    at.say(`${size.readers} readers`)
    const endsAt = performance.now() + size.readForMs
    while (performance.now() < endsAt) {
      await delay(250)
      sample()
    }
  } finally {
    sentBytes = provider.sent - sentBefore
    for (const socket of sockets) socket.destroy()
  }
  const worstReading = worst
  const leftAt = performance.now()
  const events = await eventually(
    async () => {
      sample()
      const found = (await readLedger(stack, stack.projectId)).events
      return found.length === size.readers + bodies.length && found
    },
    { timeoutMs: size.drainMs + settledWithinMs, message: `an event for each of ${size.readers} readers that left` },
  ).catch(() => undefined)
  const settledMs = performance.now() - leftAt
  writeFileSync(join(at.logs, 'memory.json'), JSON.stringify(samples, null, 2))
  const grownMiB = Math.round((worstReading - base) / MiB)
  const grownInFloodMiB = Math.round((worst - base) / MiB)
  return {
    figures: {
      'readers, half of a stream and half of a plain answer': size.readers,
      'MB offered to each': size.megabytesPerCall,
      'MiB sent by the provider meanwhile': Math.round(sentBytes / MiB),
      'MiB read by all': Math.round(read / MiB),
      'memory of the gateway before, MiB': Math.round(base / MiB),
      'most while they read, MiB': Math.round(worstReading / MiB),
      'most until they were settled, MiB': Math.round(worst / MiB),
      'last event after they left, s': Math.round(settledMs / 1000),
    },
    kept: [
      {
        promise: `memory grows by no more than ${size.maxGrowthMiB} MiB while they read`,
        kept: grownMiB <= size.maxGrowthMiB,
        found: `${grownMiB} MiB`,
      },
      {
        promise: `nor by more than ${size.maxFloodGrowthMiB} MiB while their provider is read on behind them`,
        kept: grownInFloodMiB <= size.maxFloodGrowthMiB,
        found: `${grownInFloodMiB} MiB`,
      },
      {
        promise: `each reader that left has an event within ${(size.drainMs + settledWithinMs) / 1000} s`,
        kept: events !== undefined,
        found: events === undefined ? 'events are missing' : String(events.length - bodies.length),
      },
    ],
  }
}

function residentBytes(stack: TestStack): number {
  const status = readFileSync(`/proc/${stack.services.gateway.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

/** The first asks for a stream, the second for a plain answer. */
const bodies = [true, false].map(stream =>
  JSON.stringify({ model: 'gpt-4o-mini', stream, messages: [{ role: 'user', content: 'x' }] }),
)

async function openReader(stack: TestStack, body: string): Promise<Socket> {
  const { hostname, port } = new URL(stack.url)
  const socket = connect({ host: hostname, port: Number(port), localAddress: '127.0.0.2' })
  socket.on('error', () => {})
  socket.write(
    `POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${stack.apiKey}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  await once(socket, 'readable')
  return socket
}

async function readWhole(stack: TestStack, body: string): Promise<void> {
  const answer = await fetch(`${stack.url}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body,
  })
  await answer.arrayBuffer()
}

export const slowReaders: Scenario<Size> = {
  name: 'slow-readers',
  promise: 'Clients that read slowly slow their provider down, not the gateway’s memory up',
  full: {
    readers: 1_000,
    megabytesPerCall: 50,
    readForMs: 60_000,
    drainMs: 20_000,
    maxGrowthMiB: 300,
    maxFloodGrowthMiB: 300,
  },
  small: {
    readers: 20,
    megabytesPerCall: 20,
    readForMs: 3_000,
    drainMs: 1_000,
    maxGrowthMiB: 128,
    maxFloodGrowthMiB: 250,
  },
  run,
  mutant: {
    name: 'what a client does not take is kept for it',
    size: {
      readers: 20,
      megabytesPerCall: 50,
      readForMs: 4_000,
      drainMs: 20_000,
      maxGrowthMiB: 128,
      maxFloodGrowthMiB: 250,
    },
    run: (at, size) => run(at, size, withoutBackpressure),
  },
}
