import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startTestStack } from '@sluice/test-env'
import { type ClientCall, startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  perSecond: number
  beforeSeconds: number
  awaySeconds: number
  afterSeconds: number
}

/** What cannot be sent is taken for sent, and nobody looks for gaps. */
export const publishAndForget: Replacement[] = [
  {
    file: 'services/gateway/src/usage-publisher.ts',
    from: "if (!bus.isConnected()) throw new Error('bus is away')",
    to: 'if (!bus.isConnected()) return true',
  },
  {
    file: 'services/gateway/src/usage-publisher.ts',
    from: 'if (repairing || closed || !bus.isConnected()) return',
    to: 'return',
  },
]

/** Takes the bus away while clients call at a steady rate, and brings it back. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await startTestStack(at.scope)
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
    await delay(size.afterSeconds * 1000)
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  const failed = load.calls.filter(call => call.ended !== 'whole')
  const beginsBetween = (from: number, to: number) => (call: ClientCall) =>
    call.startedAtMs >= from && call.startedAtMs < to
  const before = p99(load.calls.filter(beginsBetween(goneAt - size.beforeSeconds * 1000, goneAt)))
  const away = p99(load.calls.filter(beginsBetween(goneAt, backAt)))
  Object.assign(outcome.figures, {
    'NATS away, s': ((backAt - goneAt) / 1000).toFixed(1),
    'client p99 before, ms': before.toFixed(1),
    'client p99 while away, ms': away.toFixed(1),
    'client p99 change, ms': (away - before).toFixed(1),
  })
  const caughtUpAfterS = size.afterSeconds + Number(outcome.figures['all views agreed after, s'])
  outcome.kept.push(
    {
      promise: 'calls that a client saw fail',
      kept: failed.length === 0,
      found: String(failed.length),
    },
    {
      promise: 'everything is posted within 30 s of the return of NATS',
      kept: caughtUpAfterS < 30,
      found: `${caughtUpAfterS.toFixed(1)} s`,
    },
  )
  return outcome
}

/** Of whole answers: a stream lasts as long as its provider wants. */
function p99(calls: readonly ClientCall[]): number {
  const times = calls.flatMap(call => (call.streamed ? [] : [call.durationMs])).sort((a, b) => a - b)
  return times[Math.floor(times.length * 0.99)] ?? Number.NaN
}

export const natsDown: Scenario<Size> = {
  name: 'nats-down',
  promise: 'While NATS is away clients notice nothing, and no usage is lost or counted twice',
  full: { perSecond: 500, beforeSeconds: 10, awaySeconds: 60, afterSeconds: 5 },
  small: { perSecond: 100, beforeSeconds: 2, awaySeconds: 10, afterSeconds: 1 },
  run,
  mutant: {
    name: 'publish and forget',
    size: { perSecond: 100, beforeSeconds: 1, awaySeconds: 6, afterSeconds: 1 },
    run: (at, size) => run(at, size, publishAndForget),
  },
}
