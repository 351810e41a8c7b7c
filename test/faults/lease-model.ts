import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Check, checkModel, ensureModelChecker, type Finding } from '../model/model-checker.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

const model = join(import.meta.dirname, '..', 'model', 'leases.pml')

interface Size {
  /** Where no error may be. */
  right: readonly Check[]
  /** The one of them whose bounds let the model come to each of its statements. */
  comesEverywhere?: Check
  /** Seeded mistakes: each must be caught. */
  mistakes: readonly Check[]
  /** Compiling well costs more than it saves where a search is short. */
  optimise: boolean
}

const twoLeases = { name: 'two leases for each gateway', defines: ['LIMIT=2', 'ASKS=2', 'NET=2', 'CRASHES=1'] }

const alone = ['ASKS=1', 'SILENCE=0']

const mistakes = {
  freeOnExpiry: { name: 'the end of a ttl frees the money', defines: ['FREE_ON_EXPIRY', ...alone] },
  checkWithoutHold: { name: 'calls are let in without a hold', defines: ['CHECK_WITHOUT_HOLD', ...alone] },
  noDedup: { name: 'a settlement that comes twice counts twice', defines: ['NO_DEDUP', ...alone] },
  noJournal: { name: 'a crash leaves no journal', defines: ['NO_JOURNAL', ...alone] },
  newAskId: {
    name: 'an ask is repeated under a new id',
    defines: ['NEW_ASK_ID', 'LIMIT=1', 'NET=1', 'CRASHES=0', 'SILENCE=0'],
  },
  byIncrements: { name: 'settlements are increments', defines: ['SETTLE_BY_INCREMENTS', ...alone] },
  segmentDropped: { name: 'a segment goes with totals nobody has', defines: ['SEGMENT_DROPPED', ...alone] },
  adoptsTheLiving: { name: 'the journal of a paused process is adopted', defines: ['ADOPTS_THE_LIVING', ...alone] },
  oldLists: {
    name: 'lists older than the ask count',
    defines: ['LISTS_OF_ANY_AGE', 'LISTS=2', 'ASKS=1', 'LIMIT=1', 'NET=3', 'CRASHES=0', 'SILENCE=0'],
  },
  anyAsk: {
    name: 'lists do not count while another ask is open',
    defines: ['WAITS_FOR_ALL_ASKS', 'LISTS=1', 'LIMIT=1', 'NET=1', 'CRASHES=0', 'SILENCE=0'],
  },
  promotedAtOnce: {
    name: 'a promoted replica grants at once',
    defines: ['PROMOTED', 'PROMOTED_AT_ONCE', ...alone],
  },
  oldGrants: {
    name: 'a gateway takes a grant from before its hello to a promoted replica',
    defines: ['PROMOTED', 'TAKES_OLD_GRANTS', ...alone],
  },
} satisfies Record<string, Check>

async function run(at: ScenarioRun, size: Size): Promise<Outcome> {
  ensureModelChecker()
  const stop = new AbortController()
  at.scope.after(() => stop.abort())
  const outcome: Outcome = { figures: {}, kept: [] }
  const findings = new Map<Check, Finding>()
  // The longest stand first: two of them at a time stay within 4 GB.
  const queue = [...size.right, ...size.mistakes]
  const work = async () => {
    for (let check = queue.shift(); check; check = queue.shift()) {
      const folder = join(at.logs, check.defines.join(','))
      findings.set(check, await checkModel(model, check, folder, { optimise: size.optimise, signal: stop.signal }))
      at.say(`${check.name}: done`)
    }
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work))
  for (const check of size.right) {
    const finding = findings.get(check)
    if (finding === undefined) continue
    outcome.figures[`${check.name} (${check.defines.join(' ')})`] = inWords(finding)
    outcome.kept.push({
      promise: `${check.name}: no error in any state`,
      kept: finding.exhausted && finding.errors === 0,
      found: finding.errors > 0 ? finding.firstError : finding.exhausted ? 'none' : 'states were left out',
    })
    if (check !== size.comesEverywhere) continue
    outcome.kept.push({
      promise: `${check.name}: every statement of the model is reached`,
      kept: finding.unreached.length === 0,
      found: finding.unreached.join('; ') || 'all',
    })
  }
  for (const check of size.mistakes) {
    const finding = findings.get(check)
    if (finding === undefined) continue
    outcome.figures[`${check.name} (${check.defines.join(' ')})`] = inWords(finding)
    outcome.kept.push({
      promise: `${check.name}: caught`,
      kept: finding.errors > 0 && finding.firstError.startsWith('assertion violated'),
      found: finding.firstError || 'no error',
    })
  }
  return outcome
}

function inWords(finding: Finding): string {
  const { states, depth, seconds, memoryMb } = finding
  return `${states} states, depth ${depth}, ${seconds.toFixed(2)} s, ${memoryMb} MB`
}

/** The protocol of leases, apart from the code that speaks it, in every state that its model can come to. */
export const leaseModel: Scenario<Size> = {
  name: 'lease-model',
  promise:
    'leases keep what is spent within the limit, leak nothing and lose nothing, in every order of crashes and messages lost, late and doubled',
  full: {
    right: [
      twoLeases,
      { name: 'two crashes', defines: ['LIMIT=1', 'ASKS=2', 'NET=1', 'CRASHES=2', 'SILENCE=0'] },
      { name: 'whole lists and asks given up', defines: ['LISTS=2', 'LIMIT=2', 'ASKS=1', 'NET=3', 'SILENCE=0'] },
      { name: 'lists with two leases', defines: ['LISTS=1', 'LIMIT=1', 'NET=1', 'CRASHES=0', 'SILENCE=0'] },
      { name: 'a promoted replica', defines: ['PROMOTED', 'LIMIT=2', 'ASKS=1', 'NET=3', 'SILENCE=0'] },
      { name: 'a limit of three', defines: ['LIMIT=3', 'ASKS=1', 'NET=3'] },
    ],
    comesEverywhere: twoLeases,
    mistakes: Object.values(mistakes),
    optimise: true,
  },
  small: {
    right: [{ name: 'one lease for each gateway', defines: ['ASKS=1', 'NET=2'] }],
    mistakes: [mistakes.noJournal],
    optimise: false,
  },
  run,
  mutant: {
    name: 'a crash leaves no journal, and the model calls it right',
    size: { right: [mistakes.noJournal], mistakes: [], optimise: false },
    run,
  },
}
