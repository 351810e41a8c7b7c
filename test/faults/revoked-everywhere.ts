import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceProcess } from '@sluice/stack'
import { eventually } from '@sluice/test-env'
import WebSocket from 'ws'
import { type Management, signIn } from '../management.ts'
import { readLedger } from './accounts-of-a-run.ts'
import { startLoad } from './load-client.ts'
import { startSibling } from './more-gateways.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import type { Outcome, RunStack, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How long clients of the load rest between calls; absent: not at all. */
  pauseMs?: number
  gateways: number
  /** Keys that are made, used everywhere and revoked, one after the other. */
  keys: number
  /** Of each key on each gateway, running when it is revoked. */
  streams: number
  sockets: number
  connections: number
  /** How long it takes until each gateway is asked again whether it still takes the key. */
  askEveryMs: number
  /** From the request that revokes a key until nothing of it runs anywhere. */
  boundMs: number
}

/** Running when its key is revoked. `endedAt`: on the clock of `performance.now()`; undefined: it went on. */
interface Running {
  endedAt: Promise<number | undefined>
  /** Undefined: of a socket. */
  callId: string | undefined
  said: () => string
}

/** Whoever is not cut in this time is not cut at all. */
const givenUpMs = 10_000

/** New calls are refused, and what runs goes on. */
const withoutCutting: Replacement[] = [
  {
    file: 'services/gateway/src/main.ts',
    from: "if (!usable) events.callsCut(cutKey(liveCalls, keyId) + cutKey(sockets.live, keyId), 'credential_revoked')",
    to: "if (!usable) events.callsCut(0, 'credential_revoked')",
  },
]

/** Keys are revoked by REST while several gateways work with them and are under load. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  const first = stack.services.gateway
  if (mutant.length > 0) await restartAsMutant(first, mutant)
  const siblings: ServiceProcess[] = []
  for (let number = 2; number <= size.gateways; number++)
    siblings.push(await startSibling(at, stack, `gateway-${number}`))
  const gateways = [first, ...siblings]
  await Promise.all(gateways.map(gateway => gateway.untilReady()))
  const origins = gateways.map(gateway => gateway.plan.url ?? '')
  const admin = await signIn(stack)
  let turn = 0
  const load = startLoad({
    origin: () => origins[turn++ % origins.length] ?? '',
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: size.connections,
    pauseMs: size.pauseMs,
    streamed: 0.5,
  })
  const rounds: Round[] = []
  try {
    for (let key = 1; key <= size.keys; key++) {
      rounds.push(await revokeOne(admin, stack, origins, size))
      appendFileSync(join(at.logs, 'revoked.ndjson'), `${JSON.stringify(rounds.at(-1))}\n`)
      if (key % 10 === 0) at.say(`${key} keys revoked, ${load.calls.length} other calls`)
    }
  } finally {
    await load.stop()
  }
  const cutIds = rounds.flatMap(round => round.callIds)
  const settled = await eventually(
    async () => {
      const { events } = await readLedger(stack, stack.projectId)
      const cut = new Set(events.filter(event => event.status === 'cut').map(event => event.callId))
      return cutIds.every(id => cut.has(id)) && cutIds.length
    },
    { message: 'an event of each stream that was cut' },
  ).catch(() => 0)
  // They must end before the stores do.
  for (const sibling of siblings) await sibling.stop()

  const kinds = {
    'a call was refused': rounds.flatMap(round => round.refusedMs),
    'a stream had ended': rounds.flatMap(round => round.streamsMs),
    'a socket was closed': rounds.flatMap(round => round.socketsMs),
  }
  const disturbed = load.calls.filter(call => call.ended !== 'whole').length
  const unsaid = rounds.reduce((sum, round) => sum + round.unsaid, 0)
  const late = rounds.reduce((sum, round) => sum + round.takenAgain, 0)
  return {
    figures: {
      [`keys revoked, each used on ${size.gateways} gateways`]: size.keys,
      'calls of other keys meanwhile': load.calls.length,
      ...Object.fromEntries(
        Object.entries(kinds).map(([what, found]) => [
          `ms from the request to revoke until ${what}: median, p99, most of ${found.length}`,
          [0.5, 0.99, 1].map(share => atShare(found, share)).join(', '),
        ]),
      ),
    },
    kept: [
      ...Object.entries(kinds).map(([what, found]) => ({
        promise: `everywhere ${what} within ${size.boundMs} ms`,
        kept: found.length > 0 && found.every(ms => ms <= size.boundMs),
        found: `${atShare(found, 1)} ms at most`,
      })),
      { promise: 'streams that ended without a word of why', kept: unsaid === 0, found: String(unsaid) },
      { promise: 'calls that were taken after a refusal', kept: late === 0, found: String(late) },
      { promise: 'calls of other keys that were disturbed', kept: disturbed === 0, found: String(disturbed) },
      {
        promise: 'streams that were cut and have their event',
        kept: settled === cutIds.length && cutIds.length > 0,
        found: `${settled} of ${cutIds.length}`,
      },
    ],
  }
}

interface Round {
  refusedMs: number[]
  streamsMs: number[]
  socketsMs: number[]
  callIds: string[]
  unsaid: number
  takenAgain: number
}

async function revokeOne(admin: Management, stack: RunStack, origins: readonly string[], size: Size): Promise<Round> {
  const keys = `/accounts/projects/${stack.projectId}/api-keys`
  const { body: key } = await admin.call<{ id: string; value: string }>('POST', keys, { name: 'to be revoked' })
  await Promise.all(
    origins.map(origin => eventually(async () => (await ask(origin, key.value)) === 200, { intervalMs: 20 })),
  )
  const each = <T>(count: number, open: (origin: string) => Promise<T>): Promise<T[]> =>
    Promise.all(origins.flatMap(origin => Array.from({ length: count }, () => open(origin))))
  const streams = await each(size.streams, origin => openStream(origin, key.value))
  const sockets = await each(size.sockets, origin => openSocket(origin, key.value))
  const asking = origins.map(origin => untilRefused(origin, key.value, size.askEveryMs))
  await delay(20)
  const revokedAt = performance.now()
  const { status } = await admin.call('DELETE', `${keys}/${key.id}`)
  if (status !== 204) throw new Error(`the key was not revoked: ${status}`)
  const since = (endedAt: number | undefined): number =>
    endedAt === undefined ? Number.POSITIVE_INFINITY : Math.round(endedAt - revokedAt)
  const refused = await Promise.all(asking)
  const endsOf = (running: readonly Running[]): Promise<number[]> =>
    Promise.all(running.map(async ({ endedAt }) => since(await endedAt)))
  return {
    refusedMs: refused.map(found => since(found.refusedAt)),
    streamsMs: await endsOf(streams),
    socketsMs: await endsOf(sockets),
    callIds: streams.flatMap(({ callId }) => callId ?? []),
    unsaid: streams.filter(stream => !/has been revoked/.test(stream.said())).length,
    takenAgain: refused.reduce((sum, found) => sum + found.takenAgain, 0),
  }
}

async function ask(origin: string, key: string): Promise<number> {
  const answer = await fetch(`${origin}/v1/models/gpt-4o-mini`, { headers: { authorization: `Bearer ${key}` } })
  await answer.arrayBuffer()
  return answer.status
}

/** Asks again and again, and some times more once it is refused. */
async function untilRefused(
  origin: string,
  key: string,
  askEveryMs: number,
): Promise<{ refusedAt: number | undefined; takenAgain: number }> {
  const endsAt = performance.now() + givenUpMs
  while ((await ask(origin, key)) !== 401) {
    if (performance.now() > endsAt) return { refusedAt: undefined, takenAgain: 0 }
    await delay(askEveryMs)
  }
  const refusedAt = performance.now()
  let takenAgain = 0
  for (let again = 0; again < 5; again++) if ((await ask(origin, key)) !== 401) takenAgain++
  return { refusedAt, takenAgain }
}

async function openStream(origin: string, key: string): Promise<Running> {
  const leave = new AbortController()
  const answer = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content: '[[sim output_tokens=3000 delay_ms=50]]' }],
    }),
    signal: leave.signal,
  })
  if (!answer.ok || !answer.body) throw new Error(`no stream: ${answer.status} ${await answer.text()}`)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let said = (await reader.read()).value ?? ''
  const whole = (async () => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return performance.now()
      said += value
    }
  })()
  return {
    endedAt: unlessGivenUp(whole, () => leave.abort()),
    callId: answer.headers.get('sluice-call-id') ?? undefined,
    said: () => said,
  }
}

async function openSocket(origin: string, key: string): Promise<Running> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/v1/responses`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const closed = once(socket, 'close').then(() => performance.now())
  closed.catch(() => undefined)
  await once(socket, 'open')
  return { endedAt: unlessGivenUp(closed, () => socket.terminate()), callId: undefined, said: () => '' }
}

/** When it ended by itself; undefined where it had to be left. */
async function unlessGivenUp(ended: Promise<number>, leave: () => void): Promise<number | undefined> {
  const timer = new AbortController()
  const given = delay(givenUpMs, undefined, { signal: timer.signal }).catch(() => undefined)
  const first = await Promise.race([ended.catch(() => undefined), given])
  timer.abort()
  if (first === undefined) leave()
  return first
}

function atShare(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.POSITIVE_INFINITY
}

export const revokedEverywhere: Scenario<Size> = {
  name: 'revoked-everywhere',
  promise: 'A revoked key is refused on every gateway at once, and ends what runs with it',
  full: { gateways: 3, keys: 60, streams: 4, sockets: 4, connections: 12, askEveryMs: 5, boundMs: 1_000 },
  // How long it takes is printed here, and asserted at full size, where nothing else runs.
  small: {
    gateways: 2,
    keys: 2,
    streams: 2,
    sockets: 2,
    connections: 3,
    pauseMs: 250,
    askEveryMs: 50,
    boundMs: givenUpMs,
  },
  run,
  mutant: {
    name: 'what runs with a revoked key goes on',
    size: { gateways: 3, keys: 1, streams: 1, sockets: 1, connections: 2, pauseMs: 50, askEveryMs: 5, boundMs: 1_000 },
    run: (at, size) => run(at, size, withoutCutting),
  },
}
