import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { startLoad } from './load-client.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { type Cut, cutPower } from './power-cut.ts'
import { seededRandom } from './random.ts'
import { judgeRun } from './run-views.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** How long clients rest between calls; absent: not at all. */
  pauseMs?: number
  mode: 'group' | 'strict'
  cuts: number
  connections: number
  /** Calls answered between two cuts, at least. */
  callsBetween: number
}

/** Calls leave and answers go out whether their records are on the disk or not. */
const withoutWaiting: Replacement[] = [
  {
    file: 'services/gateway/src/journal/within-deadline.ts',
    from: 'return () =>',
    to: 'return async () => {}; return () =>',
  },
]

/** Nothing is synced until somebody waits for it. */
const withoutGroupSync: Replacement[] = [
  { file: 'services/gateway/src/journal/epoch-writer.ts', from: 'options.syncIntervalMs ?? 10', to: '5_000' },
]

/** Cuts the power of the gateway's machine again and again while real clients call, and starts it each time. */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const syncs = join(at.logs, 'syncs.ndjson')
  const stack = await at.stack({
    env: { GATEWAY_JOURNAL: size.mode },
    preloads: { gateway: { name: 'witness-syncs.ts', env: { SLUICE_FAULT_SYNCS: syncs } } },
  })
  const { gateway } = stack.services
  const directory = gateway.plan.env.GATEWAY_JOURNAL_DIR ?? ''
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
  const cuts: (Cut & { ageMs: number })[] = []
  try {
    for (let cut = 1; cut <= size.cuts; cut++) {
      const before = load.calls.filter(call => call.ended === 'whole').length
      await eventually(() => load.calls.filter(call => call.ended === 'whole').length >= before + size.callsBetween, {
        message: `${size.callsBetween} answers after cut ${cut - 1}`,
      })
      await delay(random() * 100)
      const killedAtMs = Date.now()
      await gateway.kill()
      const took = cutPower(directory, syncs, killedAtMs)
      cuts.push({ ...took, ageMs: Math.max(0, killedAtMs - (took.oldestLostAtMs ?? killedAtMs)) })
      await gateway.start()
      await gateway.untilReady()
      if (cut % 10 === 0) at.say(`${cut} cuts, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls, {
    // What a cut takes is lost for good; how much it may be is judged here.
    without:
      size.mode === 'strict'
        ? []
        : [
            'calls lost',
            'provider calls without an event',
            'answers read to their end that are on record as something else',
          ],
  })
  const ages = cuts.map(cut => cut.ageMs).sort((a, b) => a - b)
  const late = cuts.filter(cut => cut.ageMs > 10 + 2 * cut.longestSyncMs + cut.stalledMs)
  Object.assign(outcome.figures, {
    'power cuts': cuts.length,
    'bytes of the journal lost': cuts.reduce((sum, cut) => sum + cut.lostBytes, 0),
    'oldest record lost, ms before its cut: median, worst': `${ages[Math.floor(ages.length / 2)]}, ${ages.at(-1)}`,
    'most that the event loop stood still while a lost record waited, ms': Math.max(
      ...cuts.map(cut => cut.stalledMs),
    ).toFixed(1),
    'longest sync meanwhile, ms': Math.max(...cuts.map(cut => cut.longestSyncMs)).toFixed(1),
  })
  outcome.kept.push({
    promise: 'cuts that took a record older than 10 ms, the syncs under way and the stalls of a busy machine',
    kept: late.length === 0,
    found: `${late.length}${late.map(cut => ` (${cut.ageMs} ms, syncs of ${cut.longestSyncMs.toFixed(1)}, stalls of ${cut.stalledMs.toFixed(1)})`).join('')}`,
  })
  return outcome
}

export const powerLost: Scenario<Size> = {
  name: 'power-lost',
  promise: 'A power cut takes no more than the last 10 ms of records',
  full: { mode: 'group', cuts: 50, connections: 24, callsBetween: 100 },
  small: { mode: 'group', cuts: 1, connections: 6, callsBetween: 8, pauseMs: 250 },
  run,
  mutant: {
    name: 'a sync each five seconds',
    size: { mode: 'group', cuts: 3, connections: 8, callsBetween: 60 },
    run: (at, size) => run(at, size, withoutGroupSync),
  },
}

export const powerLostStrict: Scenario<Size> = {
  name: 'power-lost-strict',
  promise: 'In strict mode a power cut takes no call, and each answer that a client has whole is on record exactly',
  full: { mode: 'strict', cuts: 50, connections: 24, callsBetween: 100 },
  small: { mode: 'strict', cuts: 2, connections: 6, callsBetween: 8, pauseMs: 250 },
  run,
  mutant: {
    name: 'answers that do not wait',
    size: { mode: 'strict', cuts: 8, connections: 16, callsBetween: 20 },
    run: (at, size) => run(at, size, withoutWaiting),
  },
}
