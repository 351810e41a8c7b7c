/**
 * `npm run prove [name…] [-- --seed N] [--small] [--no-mutant]`: promises at their full figure, each with the mutant that
 * must break it. Raw logs stay below `.logs/prove/`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { ServiceName } from '@sluice/contracts'
import { startTestStack } from '@sluice/test-env'
import { realAgents } from './clients/agents.ts'
import { aborts } from './faults/aborts.ts'
import { callsLocal } from './faults/calls-local.ts'
import { clickhouseDown } from './faults/clickhouse-down.ts'
import { companyLoaded } from './faults/company-loaded.ts'
import { gapFound } from './faults/gap-found.ts'
import { gatewayKilled } from './faults/gateway-killed.ts'
import { hardBudgetLive } from './faults/hard-budget-live.ts'
import { journalFailing, journalFull } from './faults/journal-full.ts'
import { leaseModel } from './faults/lease-model.ts'
import { leasesHold } from './faults/leases-hold.ts'
import { ledgerRerated } from './faults/ledger-rerated.ts'
import { longThink } from './faults/long-think.ts'
import { restartWith } from './faults/mutant.ts'
import { natsDown } from './faults/nats-down.ts'
import { natsKilled } from './faults/nats-killed.ts'
import { pacedLive } from './faults/paced-live.ts'
import { postgresKilled } from './faults/postgres-killed.ts'
import { powerLost, powerLostStrict } from './faults/power-lost.ts'
import { ratingsAddUp } from './faults/ratings-add-up.ts'
import { replicated } from './faults/replicated.ts'
import { revokedEverywhere } from './faults/revoked-everywhere.ts'
import { rollingRestart } from './faults/rolling-restart.ts'
import {
  brokenPromises,
  logFolder,
  type Outcome,
  type Scenario,
  type ScenarioRun,
  type StackWish,
} from './faults/scenario.ts'
import { slowReaders } from './faults/slow-readers.ts'
import { streamsFuzzed } from './faults/streams-fuzzed.ts'

const root = join(import.meta.dirname, '..')
const scenarios: Record<string, (options: Options) => Promise<boolean>> = {
  [gatewayKilled.name]: options => prove(gatewayKilled, options),
  [natsDown.name]: options => prove(natsDown, options),
  [natsKilled.name]: options => prove(natsKilled, options),
  [postgresKilled.name]: options => prove(postgresKilled, options),
  [clickhouseDown.name]: options => prove(clickhouseDown, options),
  [journalFull.name]: options => prove(journalFull, options),
  [journalFailing.name]: options => prove(journalFailing, options),
  [aborts.name]: options => prove(aborts, options),
  [realAgents.name]: options => prove(realAgents, options),
  [leasesHold.name]: options => prove(leasesHold, options),
  [hardBudgetLive.name]: options => prove(hardBudgetLive, options),
  [pacedLive.name]: options => prove(pacedLive, options),
  [callsLocal.name]: options => prove(callsLocal, options),
  [ratingsAddUp.name]: options => prove(ratingsAddUp, options),
  [leaseModel.name]: options => prove(leaseModel, options),
  [ledgerRerated.name]: options => prove(ledgerRerated, options),
  [streamsFuzzed.name]: options => prove(streamsFuzzed, options),
  [powerLost.name]: options => prove(powerLost, options),
  [powerLostStrict.name]: options => prove(powerLostStrict, options),
  [replicated.name]: options => prove(replicated, options),
  [revokedEverywhere.name]: options => prove(revokedEverywhere, options),
  [rollingRestart.name]: options => prove(rollingRestart, options),
  [longThink.name]: options => prove(longThink, options),
  [gapFound.name]: options => prove(gapFound, options),
  [companyLoaded.name]: options => prove(companyLoaded, options),
  [slowReaders.name]: options => prove(slowReaders, options),
  suite: wholeSuite,
}

interface Options {
  seed: number
  small: boolean
  mutant: boolean
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    small: { type: 'boolean', default: false },
    'no-mutant': { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const names = positionals.length > 0 ? positionals : Object.keys(scenarios)
const unknown = names.filter(name => !(name in scenarios))
if (unknown.length > 0 || !Number.isSafeInteger(seed)) {
  process.stderr.write(`usage: npm run prove [${Object.keys(scenarios).join('|')}] [-- --seed N]\n`)
  process.exit(2)
}
let proved = true
for (const name of names) {
  try {
    const kept = await scenarios[name]?.({ seed, small: values.small, mutant: !values['no-mutant'] })
    proved = kept === true && proved
  } catch (error) {
    // One scenario that could not run says nothing of the next.
    proved = false
    process.stdout.write(`  NOT RUN ${error instanceof Error ? error.message.split('\n')[0]?.slice(0, 400) : error}\n`)
  }
}
process.exit(proved ? 0 : 1)

async function prove<Size>(scenario: Scenario<Size>, options: Options): Promise<boolean> {
  const print = (line: string) => process.stdout.write(`${line}\n`)
  print(`\n${scenario.name}: ${scenario.promise} (seed ${options.seed})`)
  const size = options.small ? scenario.small : scenario.full
  const outcome = await runOnce(scenario.name, options, run => scenario.run(run, size))
  const broken = brokenPromises(outcome)
  printOutcome(outcome)
  if (!options.mutant) return broken.length === 0
  print(`  mutant: ${scenario.mutant.name}`)
  const mutated = await runOnce(`${scenario.name}-mutant`, options, run =>
    scenario.mutant.run(run, scenario.mutant.size),
  )
  const caught = brokenPromises(mutated)
  print(caught.length > 0 ? `  caught: ${caught.join('; ')}` : '  NOT CAUGHT: the scenario proves nothing')
  return broken.length === 0 && caught.length > 0
}

/** Every test of `npm test` at its full size: each client in each way, every crawl as every role, properties for longer. */
async function wholeSuite({ seed, small }: Options): Promise<boolean> {
  process.stdout.write(`\nsuite: every test at its full size (seed ${seed})\n`)
  const run = spawn(process.execPath, [join(import.meta.dirname, 'run.ts'), ...(small ? [] : ['--full'])], {
    env: { ...process.env, SLUICE_SEED: String(seed) },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  await once(run, 'close')
  return run.exitCode === 0
}

async function runOnce(name: string, options: Options, run: (at: ScenarioRun) => Promise<Outcome>): Promise<Outcome> {
  const logs = logFolder(root, name, new Date())
  const cleanUps: (() => void | Promise<void>)[] = []
  const say = (line: string) => process.stderr.write(`  · ${line}\n`)
  try {
    const scope = { after: (clean: () => void | Promise<void>) => cleanUps.push(clean) }
    const stack = async ({ preloads = {}, ...asked }: StackWish = {}) => {
      const started = await startTestStack(scope, asked)
      for (const [service, preload] of Object.entries(preloads))
        await restartWith(started.services[service as ServiceName], preload)
      return Object.assign(started, { billedBefore: new Set<string>() })
    }
    const outcome = await run({ scope, stack, seed: options.seed, logs, say })
    writeFileSync(join(logs, 'outcome.json'), `${JSON.stringify({ name, ...options, ...outcome }, null, 2)}\n`)
    return outcome
  } finally {
    for (const clean of cleanUps.reverse()) await clean()
    process.stdout.write(`  raw logs: ${logs}\n`)
  }
}

function printOutcome(outcome: Outcome): void {
  for (const [name, value] of Object.entries(outcome.figures)) process.stdout.write(`  ${name}: ${value}\n`)
  for (const { promise, kept, found } of outcome.kept)
    process.stdout.write(`  ${kept ? 'kept  ' : 'BROKEN'} ${promise}: ${found}\n`)
}
