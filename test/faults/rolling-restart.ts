import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { startBalancer } from './balancer.ts'
import { startLoad } from './load-client.ts'
import { startSibling } from './more-gateways.ts'
import { addPreload, type Replacement } from './mutant.ts'
import { seededRandom } from './random.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How long clients rest between calls; absent: not at all. */
  pauseMs?: number
  restarts: number
  /** A gateway that is told to end still takes calls for so long. Its balancer has looked at it several times by then. */
  leaveMs: number
  connections: number
  callsBetween: number
}

/** A process that is told to end waits for nobody: neither for its balancer nor for its calls. */
const withoutWaiting: Replacement[] = [
  { file: 'services/gateway/src/main.ts', from: 'await delay(config.leaveMs)', to: '' },
  {
    file: 'services/gateway/src/main.ts',
    from: 'if (!(await liveCalls.whenIdle(config.drainMs))) endAllCalls(liveCalls)',
    to: 'endAllCalls(liveCalls)',
  },
]

/** Two gateways behind a balancer are ended in good order, in turn, again and again, while real clients call. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({ env: { GATEWAY_LEAVE_MS: String(size.leaveMs) } })
  const first = stack.services.gateway
  if (mutant.length > 0) {
    await first.stop()
    addPreload(first, 'replace-source.ts')
    first.plan.env.SLUICE_MUTANT = JSON.stringify(mutant)
    await first.start()
  }
  const second = await startSibling(at, stack, 'second')
  const gateways = [first, second]
  await Promise.all(gateways.map(gateway => gateway.untilReady()))
  const balancer = await startBalancer(
    gateways.map(({ plan }) => plan),
    size.leaveMs / 4,
  )
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: balancer.next,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: size.connections,
    pauseMs: size.pauseMs,
    streamed: 0.8,
  })
  const tookMs: number[] = []
  try {
    for (let restart = 1; restart <= size.restarts; restart++) {
      const before = load.calls.filter(call => call.ended === 'whole').length
      await eventually(() => load.calls.filter(call => call.ended === 'whole').length >= before + size.callsBetween, {
        message: `${size.callsBetween} answers after restart ${restart - 1}`,
      })
      await delay(random() * 100)
      const gateway = gateways[restart % gateways.length]
      const beganAt = performance.now()
      await gateway?.stop()
      tookMs.push(performance.now() - beganAt)
      await gateway?.start()
      await gateway?.untilReady()
      // Until the balancer has seen it too: the next one to end is the other.
      await eventually(() => balancer.serves(gateway?.plan.url ?? ''))
      if (restart % 10 === 0) at.say(`${restart} restarts, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
    await balancer.close()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  await second.stop()
  const broken = load.calls.filter(call => call.ended === 'broken')
  const refused = load.calls.filter(call => call.ended === 'refused')
  outcome.figures.restarts = size.restarts
  outcome.figures['longest until a gateway had ended, ms'] = Math.round(Math.max(...tookMs))
  const seen = (calls: typeof broken) =>
    calls.length === 0 ? '0' : `${calls.length} (statuses ${[...new Set(calls.map(call => call.status))].join(', ')})`
  outcome.kept.push(
    { promise: 'calls without a whole answer', kept: broken.length === 0, found: seen(broken) },
    { promise: 'calls that were refused', kept: refused.length === 0, found: seen(refused) },
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
  promise: 'Gateways that are ended in good order behind a balancer break no answer and refuse no call',
  full: { restarts: 100, leaveMs: 500, connections: 24, callsBetween: 100 },
  small: { restarts: 2, leaveMs: 1_000, connections: 5, callsBetween: 8, pauseMs: 350 },
  run,
  mutant: {
    name: 'ended without waiting',
    size: { restarts: 3, leaveMs: 500, connections: 16, callsBetween: 20 },
    run: (at, size) => run(at, size, withoutWaiting),
  },
}
