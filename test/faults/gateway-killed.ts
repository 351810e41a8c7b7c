import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How long clients rest between calls; absent: not at all. */
  pauseMs?: number
  kills: number
  connections: number
  /** Calls answered between two kills, at least. */
  callsBetween: number
}

/** The journal keeps records in memory for a quarter of a second, as a buffered log does. */
const bufferedJournal: Replacement[] = [
  {
    file: 'services/gateway/src/journal/segment.ts',
    from: 'at += io.writeSync(segment.fd, buffer, at, end - at, segment.size + at - start)',
    to: `const copy = Buffer.from(buffer.subarray(at, end)), place = segment.size + at - start, { fd } = segment
      setTimeout(() => { try { writeSync(fd, copy, 0, copy.length, place) } catch {} }, 250)
      at = end`,
  },
  {
    file: 'services/gateway/src/journal/segment.ts',
    from: 'fdatasync: promisify(fdatasync)',
    to: 'fdatasync: async fd => { await new Promise(resolve => setTimeout(resolve, 300)); await promisify(fdatasync)(fd) }',
  },
]

/** Kills the gateway again and again while real clients call, and starts it each time. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack()
  const { gateway } = stack.services
  if (mutant.length > 0) await restartAsMutant(gateway, mutant)
  const random = seededRandom(at.seed)
  const load = startLoad({
    origin: stack.url,
    apiKey: stack.apiKey,
    seed: at.seed,
    logFile: join(at.logs, 'client.ndjson'),
    connections: size.connections,
    pauseMs: size.pauseMs,
    streamed: 0.6,
  })
  try {
    for (let kill = 1; kill <= size.kills; kill++) {
      const before = load.calls.filter(call => call.ended === 'whole').length
      await eventually(() => load.calls.filter(call => call.ended === 'whole').length >= before + size.callsBetween, {
        message: `${size.callsBetween} answers after kill ${kill - 1}`,
      })
      await delay(random() * 100)
      await gateway.kill()
      await gateway.start()
      await gateway.untilReady()
      if (kill % 10 === 0) at.say(`${kill} kills, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls)
  outcome.figures['kill -9'] = size.kills
  return outcome
}

export const gatewayKilled: Scenario<Size> = {
  name: 'gateway-killed',
  promise: 'A gateway killed under load loses no usage and counts none twice',
  full: { kills: 100, connections: 24, callsBetween: 400 },
  small: { kills: 20, connections: 6, callsBetween: 3, pauseMs: 400 },
  run,
  mutant: {
    name: 'buffered journal',
    size: { kills: 3, connections: 8, callsBetween: 20 },
    run: (at, size) => run(at, size, bufferedJournal),
  },
}
