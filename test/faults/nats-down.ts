import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type TestStack } from '@sluice/test-env'
import { countPosted } from './accounts-of-a-run.ts'
import { storesThatMayDie } from './audit-stores.ts'
import { type ClientCall, startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  perSecond: number
  beforeSeconds: number
  awaySeconds: number
  afterSeconds: number
  /** How much slower calls may be while NATS is away: times their p99 before, and so many ms. */
  slower: { times: number; ms: number }
}

/** Longest until the ledger has what NATS was away for. */
const caughtUpWithinS = 30
/** Longest until a consumer that has nothing to read finds that it can read. */
const readyWithinMs = 15_000

/** What the ledger lacks is not sent again. */
export const noRepair: Replacement = {
  file: 'services/gateway/src/usage-publisher.ts',
  from: 'if (repairing || closed || !bus.isConnected()) return',
  to: 'return',
}

/** What cannot be sent is taken for sent, and nobody looks for gaps. */
export const publishAndForget: Replacement[] = [
  {
    file: 'services/gateway/src/usage-publisher.ts',
    from: "if (!bus.isConnected()) throw new Error('bus is away')",
    to: 'if (!bus.isConnected()) return true',
  },
  noRepair,
]

/** Takes the bus away while clients call at a steady rate, and brings it back. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack(storesThatMayDie)
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 256,
    perSecond: size.perSecond,
    streamed: 0.1,
  })
  let goneAt = 0
  let backAt = 0
  let caughtUpMs = Number.POSITIVE_INFINITY
  try {
    // The first seconds warm everything up; they are in no figure but the comparison.
    await delay(2000 + size.beforeSeconds * 1000)
    goneAt = Date.now()
    await stack.nats?.stop()
    at.say('NATS is away')
    await delay(size.awaySeconds * 1000)
    await stack.restartStore('nats')
    backAt = Date.now()
    at.say('NATS is back')
    const missing = load.calls.filter(call => call.startedAtMs + call.durationMs < backAt).length
    // Looked at while calls go on, and by its count alone: comparing every call takes longer than posting them.
    caughtUpMs = await untilPosted(stack, missing)
    await delay(Math.max(0, size.afterSeconds * 1000 - caughtUpMs))
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  const notReady = await listNotReady(stack)
  const failed = load.calls.filter(call => call.ended !== 'whole')
  const beginsBetween = (from: number, to: number) => (call: ClientCall) =>
    call.startedAtMs >= from && call.startedAtMs < to
  const before = usualP99(load.calls.filter(beginsBetween(goneAt - size.beforeSeconds * 1000, goneAt)))
  const away = usualP99(load.calls.filter(beginsBetween(goneAt, backAt)))
  const awayS = (backAt - goneAt) / 1000
  Object.assign(outcome.figures, {
    'NATS away, s': awayS.toFixed(1),
    'client p99 of a usual second before, ms': before.toFixed(1),
    'client p99 of a usual second while away, ms': away.toFixed(1),
    'change, ms': (away - before).toFixed(1),
    'caught up after the return of NATS, s': (caughtUpMs / 1000).toFixed(1),
    'caught up in a share of the time away': `${Math.round(caughtUpMs / awayS / 10)} %`,
  })
  const { times, ms } = size.slower
  outcome.kept.push(
    { promise: 'calls that a client saw fail', kept: failed.length === 0, found: String(failed.length) },
    {
      promise: `services that are not ready ${readyWithinMs / 1000} s later, though nobody calls`,
      kept: notReady.length === 0,
      found: notReady.join(', ') || 'none',
    },
    {
      promise: `client p99 while away is at most ${times} times that before and ${ms} ms`,
      kept: away <= before * times + ms,
      found: `${before.toFixed(1)} → ${away.toFixed(1)} ms`,
    },
    {
      promise: `everything is posted within ${caughtUpWithinS} s of the return of NATS`,
      kept: caughtUpMs < caughtUpWithinS * 1000,
      found: `${(caughtUpMs / 1000).toFixed(1)} s`,
    },
  )
  return outcome
}

/** Names the services that do not say that they may take traffic. */
async function listNotReady(stack: TestStack): Promise<string[]> {
  const ready = await Promise.all(
    Object.values(stack.services).map(service =>
      service.untilReady(readyWithinMs).then(
        () => undefined,
        () => service.name,
      ),
    ),
  )
  return ready.filter(name => name !== undefined)
}

/** Waits until the ledger has so many events. @returns how long that took, in ms; without end: for more than three times too long */
async function untilPosted(stack: TestStack, events: number): Promise<number> {
  const startedAt = performance.now()
  return eventually(async () => (await countPosted(stack)) >= events, {
    timeoutMs: 3 * caughtUpWithinS * 1000,
    intervalMs: 100,
  }).then(
    () => performance.now() - startedAt,
    () => Number.POSITIVE_INFINITY,
  )
}

/**
 * The p99 of the second in the middle, when seconds are put in order of theirs: a neighbour that takes the machine for some
 * seconds changes it little. Of whole answers: a stream lasts as long as its provider wants.
 */
function usualP99(calls: readonly ClientCall[]): number {
  const seconds = Map.groupBy(
    calls.filter(call => !call.streamed),
    call => Math.floor(call.startedAtMs / 1000),
  )
  const ofEach = [...seconds.values()].map(each => {
    const times = each.map(call => call.durationMs).sort((a, b) => a - b)
    return times[Math.floor(times.length * 0.99)] ?? Number.NaN
  })
  return ofEach.sort((a, b) => a - b)[Math.floor(ofEach.length / 2)] ?? Number.NaN
}

export const natsDown: Scenario<Size> = {
  name: 'nats-down',
  promise: 'While NATS is away clients notice nothing, and no usage is lost or counted twice',
  full: { perSecond: 500, beforeSeconds: 30, awaySeconds: 60, afterSeconds: 5, slower: { times: 1.5, ms: 1 } },
  small: { perSecond: 30, beforeSeconds: 3, awaySeconds: 10, afterSeconds: 1, slower: { times: 2, ms: 10 } },
  run,
  mutant: {
    name: 'publish and forget',
    size: { perSecond: 100, beforeSeconds: 1, awaySeconds: 6, afterSeconds: 1, slower: { times: 2, ms: 10 } },
    run: (at, size) => run(at, size, publishAndForget),
  },
}
