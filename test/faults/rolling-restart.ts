import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, startTestStack } from '@sluice/test-env'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  restarts: number
  connections: number
  callsBetween: number
}

/** A process that is told to end does not wait for its calls. */
const withoutDrain: Replacement[] = [
  {
    file: 'services/gateway/src/main.ts',
    from: 'if (!(await liveCalls.whenIdle(config.drainMs))) endAllCalls(liveCalls)',
    to: 'endAllCalls(liveCalls)',
  },
]

/** Ends the gateway in good order again and again while real clients call, and starts it each time. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await startTestStack(at.scope)
  const { gateway } = stack.services
  if (mutant.length > 0) await restartAsMutant(gateway, mutant)
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: size.connections,
    streamed: 0.8,
  })
  const tookMs: number[] = []
  try {
    for (let restart = 1; restart <= size.restarts; restart++) {
      const before = load.calls.filter(call => call.ended === 'whole').length
      await eventually(() => load.calls.filter(call => call.ended === 'whole').length >= before + size.callsBetween, {
        timeoutMs: 30_000,
        message: `${size.callsBetween} answers after restart ${restart - 1}`,
      })
      await delay(random() * 100)
      const beganAt = performance.now()
      await gateway.stop()
      tookMs.push(performance.now() - beganAt)
      await gateway.start()
      await gateway.untilReady()
      if (restart % 10 === 0) at.say(`${restart} restarts, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  const broken = load.calls.filter(call => call.ended === 'broken' && call.callId !== undefined)
  const failed = load.calls.filter(call => call.status >= 500 && call.status !== 503)
  outcome.figures.restarts = size.restarts
  outcome.figures['longest wait for running calls, ms'] = Math.round(Math.max(...tookMs))
  outcome.figures['refused with 503 while ending'] = load.calls.filter(call => call.status === 503).length
  outcome.kept.push(
    { promise: 'answers that broke off', kept: broken.length === 0, found: String(broken.length) },
    { promise: 'errors other than 503', kept: failed.length === 0, found: String(failed.length) },
    {
      promise: 'epochs that were closed behind their last event, none left to be replayed',
      kept: outcome.figures['recovered from the journal'] === 0,
      found: `${outcome.figures['recovered from the journal']} recovered`,
    },
  )
  return outcome
}

export const rollingRestart: Scenario<Size> = {
  name: 'rolling-restart',
  promise: 'A gateway that is ended in good order breaks no answer',
  full: { restarts: 100, connections: 24, callsBetween: 100 },
  small: { restarts: 4, connections: 8, callsBetween: 20 },
  run,
  mutant: {
    name: 'ended without waiting',
    size: { restarts: 3, connections: 16, callsBetween: 20 },
    run: (at, size) => run(at, size, withoutDrain),
  },
}
