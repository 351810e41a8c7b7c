import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type TestStack } from '@sluice/test-env'
import { auditStores, storesThatMayDie } from './audit-stores.ts'
import { type Load, startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { noRepair } from './nats-down.ts'
import { seededRandom } from './random.ts'
import { judgeRun, keepServiceLogs } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  kills: number
  /** Then away for so long. */
  awaySeconds: number
  perSecond: number
  /** Calls answered before the first kill, and once everything is back. */
  answered: number
}

/** A batch whose transaction fails is acknowledged all the same, and no gateway looks for the gap and sends it again. */
const acknowledgeFailures: Replacement[] = [
  {
    file: 'packages/bus/src/consume-batches.ts',
    from: 'healthy = false\n        options.log.error(',
    to: 'for (const message of batch) message.ack()\n        return\n        options.log.error(',
  },
  noRepair,
]

/** Kills PostgreSQL in the middle of batches, again and again, then takes it away for long, while clients call. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack(storesThatMayDie)
  if (mutant.length > 0)
    for (const name of ['billing', 'budget', 'analytics', 'gateway'] as const)
      await restartAsMutant(stack.services[name], mutant)
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: 128,
    perSecond: size.perSecond,
    streamed: 0.1,
  })
  let awayMs = 0
  try {
    await answered(load, size.answered)
    for (let kill = 1; kill <= size.kills; kill++) {
      await delay(random() * 300)
      await killPostgres(stack)
      await stack.restartStore('postgres')
      // Until the next batches are under way: a kill finds them in the middle.
      await answered(load, 20)
      if (kill % 10 === 0) at.say(`${kill} kills, ${load.calls.length} calls`)
    }
    if (size.awaySeconds > 0) {
      const goneAt = performance.now()
      await killPostgres(stack)
      at.say('PostgreSQL is away')
      await delay(size.awaySeconds * 1000)
      await stack.restartStore('postgres')
      awayMs = performance.now() - goneAt
      at.say('PostgreSQL is back')
      await answered(load, size.answered)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls, { quietMs: 15_000 })
  const failed = load.calls.filter(call => call.ended !== 'whole')
  outcome.figures['kill -9 of PostgreSQL'] = size.kills
  outcome.figures['then away, s'] = (awayMs / 1000).toFixed(1)
  outcome.kept.push(
    { promise: 'calls that a client saw fail', kept: failed.length === 0, found: String(failed.length) },
    ...(await auditStores(stack, mutant.length > 0 ? 1_000 : 30_000)),
  )
  keepServiceLogs(at, stack)
  return outcome
}

async function killPostgres(stack: TestStack): Promise<void> {
  stack.postgres?.process.signal('SIGKILL')
  await stack.postgres?.process.exited
}

async function answered(load: Load, calls: number): Promise<void> {
  const before = load.calls.length
  await eventually(() => load.calls.length >= before + calls, { message: `${calls} answers` })
}

export const postgresKilled: Scenario<Size> = {
  name: 'postgres-killed',
  promise: 'PostgreSQL killed in the middle of batches, and away for long, loses no usage and counts none twice',
  full: { kills: 50, awaySeconds: 300, perSecond: 80, answered: 50 },
  small: { kills: 1, awaySeconds: 2, perSecond: 20, answered: 20 },
  run,
  mutant: {
    name: 'a failed batch is acknowledged, and nobody looks for gaps',
    size: { kills: 3, awaySeconds: 4, perSecond: 60, answered: 50 },
    run: (at, size) => run(at, size, acknowledgeFailures),
  },
}
