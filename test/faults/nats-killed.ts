import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { auditStores, storesThatMayDie } from './audit-stores.ts'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { publishAndForget } from './nats-down.ts'
import { seededRandom } from './random.ts'
import { judgeRun, keepServiceLogs } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  kills: number
  perSecond: number
  /** Calls answered between two kills, at least. */
  callsBetween: number
}

/** Kills the bus again and again while clients call, and starts it each time. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack(storesThatMayDie)
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 128,
    perSecond: size.perSecond,
    streamed: 0.2,
  })
  const whole = () => load.calls.filter(call => call.ended === 'whole').length
  try {
    for (let kill = 1; kill <= size.kills; kill++) {
      const before = whole()
      await eventually(() => whole() >= before + size.callsBetween, {
        message: `${size.callsBetween} answers after kill ${kill - 1}`,
      })
      await delay(random() * 500)
      stack.nats?.process.signal('SIGKILL')
      await stack.nats?.process.exited
      // Away for a moment, or for a few seconds: what the gateway had sent and nobody had answered is in doubt.
      await delay(random() * 3_000)
      await stack.restartStore('nats')
      at.say(`${kill} kills, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls, { quietMs: 12_000 })
  outcome.figures['kill -9 of NATS'] = size.kills
  outcome.kept.push(...(await auditStores(stack, mutant.length > 0 ? 1_000 : 30_000)))
  keepServiceLogs(at, stack)
  return outcome
}

export const natsKilled: Scenario<Size> = {
  name: 'nats-killed',
  promise: 'A bus that is killed again and again under load loses no usage and counts none twice',
  full: { kills: 10, perSecond: 150, callsBetween: 400 },
  small: { kills: 2, perSecond: 20, callsBetween: 20 },
  run,
  mutant: {
    name: 'publish and forget',
    size: { kills: 3, perSecond: 80, callsBetween: 60 },
    run: (at, size) => run(at, size, publishAndForget),
  },
}
