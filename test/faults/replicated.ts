import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceProcess } from '@sluice/stack'
import { eventually } from '@sluice/test-env'
import { askCompleteness } from './completeness.ts'
import { startLoad } from './load-client.ts'
import { startSibling } from './more-gateways.ts'
import { addPreload, type Replacement } from './mutant.ts'
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
  /** Longest that a journal may go without being taken over; a sibling that dies over one is given up after five minutes. */
  takenOverWithinMs: number
  /** A silence of seconds is long, where a test cannot wait as long as the program as it is delivered. */
  impatient: boolean
}

/** Gateways look at each other all the time, say that they live all the time, and believe in a death sooner. */
const impatientSiblings: Replacement[] = [
  { file: 'services/gateway/src/journal/replica-adopter.ts', from: 'silentMs ?? 30_000', to: 'silentMs ?? 3_000' },
  { file: 'services/gateway/src/journal/replica-adopter.ts', from: 'takenMs ?? 5 * 60_000', to: 'takenMs ?? 6_000' },
  { file: 'services/gateway/src/journal/journal-replica.ts', from: 'beatMs ?? 10_000', to: 'beatMs ?? 300' },
  {
    file: 'services/gateway/src/journal/journal.ts',
    from: 'adoptionIntervalMs ?? 10_000',
    to: 'adoptionIntervalMs ?? 300',
  },
]

/** Calls go on as soon as this machine's own disk has their records; JetStream, a fifth of a second away, gets them later. */
const answerBeforeAck: Replacement[] = [
  {
    file: 'services/gateway/src/journal/copy-behind.ts',
    from: 'const isCopied = await this.#copy(next.upTo)',
    to: `this.#options.onCopied(next.upTo, next.writes)
      await delay(200)
      const isCopied = await this.#copy(next.upTo)`,
  },
]

/**
 * Two gateways on machines whose disk goes with them. Under load one of the two is killed, again and again, and with it goes
 * all that it had on disk: what comes up in its place is another gateway, which knows nothing.
 */
async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack()
  const first = stack.services.gateway
  const machineOf = (name: string) => join(stack.home, 'machines', name)
  const onMachine = (name: string) => ({
    GATEWAY_JOURNAL: 'replicated',
    GATEWAY_JOURNAL_ROOT: machineOf(name),
    GATEWAY_JOURNAL_DIR: join(machineOf(name), 'own'),
  })
  await first.stop()
  const replacements = [...(size.impatient ? impatientSiblings : []), ...mutant]
  if (replacements.length > 0) {
    addPreload(first, 'replace-source.ts')
    first.plan.env.SLUICE_MUTANT = JSON.stringify(replacements)
  }
  Object.assign(first.plan.env, onMachine('first'))
  await first.start()
  const second = await startSibling(at, stack, 'second', onMachine('second'))
  const machines: { gateway: ServiceProcess; disk: string }[] = [
    { gateway: first, disk: machineOf('first') },
    { gateway: second, disk: machineOf('second') },
  ]
  await Promise.all(machines.map(({ gateway }) => gateway.untilReady()))
  const random = seededRandom(at.seed)
  let turn = 0
  const load = startLoad({
    origin: () => machines[turn++ % machines.length]?.gateway.plan.url ?? '',
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
      const machine = machines[random() < 0.5 ? 0 : 1]
      await machine?.gateway.kill()
      rmSync(machine?.disk ?? '', { recursive: true })
      await machine?.gateway.start()
      await machine?.gateway.untilReady()
      if (kill % 10 === 0) at.say(`${kill} kills, ${load.calls.length} calls`)
    }
  } finally {
    await load.stop()
  }
  const outcome = await judgeRun(at, stack, load.calls, { quietMs: size.takenOverWithinMs })
  const isComplete = await eventually(async () => (await askCompleteness(stack)).complete).catch(() => false)
  outcome.figures['gateways killed, and their disks deleted'] = size.kills
  outcome.kept.push({
    promise: 'no number of any gateway is missing',
    kept: isComplete,
    found: isComplete ? 'complete' : JSON.stringify((await askCompleteness(stack)).gaps),
  })
  await second.stop()
  return outcome
}

export const replicated: Scenario<Size> = {
  name: 'replicated',
  promise: 'Gateways that are killed and lose their disk with it lose no usage and count none twice',
  full: { kills: 20, connections: 24, callsBetween: 300, takenOverWithinMs: 420_000, impatient: false },
  small: { kills: 1, connections: 6, pauseMs: 250, callsBetween: 8, takenOverWithinMs: 12_000, impatient: true },
  run,
  mutant: {
    name: 'answers before JetStream has the records',
    size: { kills: 2, connections: 24, callsBetween: 60, takenOverWithinMs: 12_000, impatient: true },
    run: (at, size) => run(at, size, answerBeforeAck),
  },
}
