import type { Replacement } from './mutant.ts'
import { runProgram } from './pure-scenario.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  schedules: number
  gateways: number
}

interface Mistake {
  name: string
  /** A schedule that shows it: of those that do, a short one. */
  seed: number
  replacements: readonly Replacement[]
}

const leases = 'packages/leases/src'

/** Mistakes that proxies with budgets were seen to make, and some that only leases can make. */
export const leaseMistakes: readonly Mistake[] = [
  {
    name: 'money of a silent gateway is free again',
    seed: 19371,
    replacements: [{ file: `${leases}/decide-report.ts`, from: "state: 'silent' } }))", to: "state: 'closed' } }))" }],
  },
  {
    name: 'a call checks and holds nothing',
    seed: 10778,
    replacements: [
      { file: `${leases}/wallet.ts`, from: 'lease.held += amount\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'pool.free -= amount\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'lease.held += part\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'item.pool.free -= amount - rest', to: '' },
      { file: `${leases}/wallet.ts`, from: 'lease.held -= part.amount', to: '' },
    ],
  },
  {
    name: 'what is reported twice counts twice',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/decide-report.ts`,
        from: "if (totals.version <= lease.version && lease.state === 'open') continue",
        to: '',
      },
      {
        file: `${leases}/decide-report.ts`,
        from: '...(totals.version > lease.version ? withTotals(lease, totals) : lease),',
        to: '...withTotals(lease, totals), settled: lease.settled + (totals.version > lease.version ? totals.settled_total - lease.settled : 1),',
      },
    ],
  },
  {
    name: 'the journal knows no leases',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/journaled-leases.ts`,
        from: 'return [...this.#leases.values()].map',
        to: 'return ([] as LeaseTotals[]).map',
      },
    ],
  },
  {
    name: 'an ask that comes twice is granted twice',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/decide-ask.ts`,
        from: 'if (leaseIds.some(id => state.leases.has(id)))',
        to: 'if (leaseIds.length === 0)',
      },
      {
        file: `${leases}/home-state.ts`,
        from: 'before ? weightOf(before) : nothing',
        to: "before && event.type !== 'lease-granted' ? weightOf(before) : nothing",
      },
    ],
  },
  {
    name: 'settlements are told as differences',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/wallet-pool.ts`,
        from: 'settled_total: lease.settled,',
        to: 'settled_total: ((l: { settled: number; told?: number }) => { const told = l.told ?? 0; l.told = l.settled; return l.settled - told })(lease),',
      },
      {
        file: `${leases}/lease.ts`,
        from: 'settled: Math.max(lease.settled, totals.settled_total),',
        to: 'settled: lease.settled + totals.settled_total,',
      },
    ],
  },
  {
    name: 'an earlier run may still ask',
    seed: 779,
    replacements: [
      { file: `${leases}/decide-report.ts`, from: 'if (known && known.epoch > epoch)', to: 'if (known && epoch < 0)' },
    ],
  },
  {
    name: 'a run that has ended keeps the leases that its journal does not name',
    seed: 10778,
    replacements: [{ file: `${leases}/decide-report.ts`, from: 'if (!hello.more)', to: 'if (hello.at_ms < 0)' }],
  },
  {
    name: 'the hello of an earlier run ends what a later one has',
    seed: 4809,
    replacements: [
      {
        file: `${leases}/decide-report.ts`,
        from: "if (lease.gatewayId !== gatewayId || lease.epoch !== endedEpoch || lease.state === 'closed') continue",
        to: "if (lease.gatewayId !== gatewayId || lease.state === 'closed') continue",
      },
    ],
  },
  {
    name: 'a hello ends leases and settles nothing of them',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/decide-report.ts`,
        from: "const changed: Lease = { ...withTotals(lease, totals), state: 'closed' }",
        to: "const changed: Lease = { ...lease, state: 'closed' }",
      },
    ],
  },
  {
    name: 'what a hello names goes on',
    seed: 10778,
    replacements: [
      {
        file: `${leases}/decide-report.ts`,
        from: "const changed: Lease = { ...withTotals(lease, totals), state: 'closed' }",
        to: 'const changed: Lease = withTotals(lease, totals)',
      },
    ],
  },
  {
    name: 'a hello fences nobody',
    seed: 116,
    replacements: [
      {
        file: `${leases}/decide-report.ts`,
        from: 'epoch: Math.max(endedEpoch + 1, known?.epoch ?? 0),',
        to: 'epoch: Math.max(endedEpoch, known?.epoch ?? 0),',
      },
    ],
  },
  {
    name: 'a grant that nobody heard of stays',
    seed: 9026,
    replacements: [{ file: `${leases}/decide-report.ts`, from: 'if (whole)\n', to: 'if (whole && nowMs < 0)\n' }],
  },
  {
    name: 'a list of leases is believed of asks that are still open',
    seed: 895,
    replacements: [
      {
        file: `${leases}/wallet.ts`,
        from: 'const belowSeq = Math.min(this.#lastSeq + 1, ...this.#asks.keys())',
        to: 'const belowSeq = this.#lastSeq + 1',
      },
    ],
  },
  {
    name: 'what is handed over once is handed over each time that it is told',
    seed: 12182,
    replacements: [{ file: `${leases}/decide-report.ts`, from: 'if (state.leases.has(leaseId)) continue', to: '' }],
  },
  {
    name: 'what a running call gives back is free twice',
    seed: 12182,
    replacements: [{ file: `${leases}/wallet.ts`, from: 'lease.held -= less', to: 'lease.held -= 2 * less' }],
  },
  {
    name: 'what a call uses beyond its hold is settled nowhere',
    seed: 12182,
    replacements: [
      {
        file: `${leases}/wallet.ts`,
        from: 'const only = parts.length === 1 ? parts[0] : undefined',
        to: 'const only = parts.length === 1 && parts[0]?.amount === 0 ? parts[0] : undefined',
      },
      {
        file: `${leases}/wallet.ts`,
        from: 'const amount = part === parts.at(-1) ? rest : Math.min(rest, part.amount)',
        to: 'const amount = Math.min(rest, part.amount)',
      },
    ],
  },
  {
    name: 'what was given back is held all the same',
    seed: 10778,
    replacements: [{ file: `${leases}/wallet.ts`, from: 'lease.returned += free', to: '' }],
  },
  {
    name: 'more is given back than was free',
    seed: 1490,
    replacements: [{ file: `${leases}/wallet.ts`, from: 'lease.returned += free', to: 'lease.returned += 2 * free' }],
  },
  {
    name: 'whoever has waited is served from leases whose ttl is over',
    seed: 11072,
    replacements: [
      {
        file: `${leases}/wallet.ts`,
        from: 'if (pool.home !== freshHome &&',
        to: 'if (!first && pool.home !== freshHome &&',
      },
      {
        file: `${leases}/waiting-line.ts`,
        from: 'const isStale = needs.some(({ pool }) => !this.#wallet.isFresh(pool, nowMs))',
        to: 'const isStale = false',
      },
    ],
  },
  {
    name: 'a lease that was called back is renewed with all others',
    seed: 12985,
    replacements: [
      {
        file: `${leases}/wallet.ts`,
        from: 'Math.min(lease.lastsUntilMs, this.#endOfTtl(pool))',
        to: 'lease.lastsUntilMs',
      },
    ],
  },
  {
    name: 'a pool that stands above a lowered limit grants again',
    seed: 12985,
    replacements: [
      {
        file: `${leases}/decide-ask.ts`,
        from: "import { leftOf, type Pool, poolKey, spentOf } from './pool.ts'",
        to: "import { leftOf as signedLeftOf, type Pool, poolKey, spentOf } from './pool.ts'; const leftOf = (pool: Pool) => Math.abs(signedLeftOf(pool))",
      },
    ],
  },
  {
    name: 'who is killed forgets what it was to hand over',
    seed: 12182,
    replacements: [
      {
        file: `${leases}/journaled-leases.ts`,
        from: 'if (holder !== undefined && amount > part) settled.handed.push',
        to: 'if (holder === undefined && amount < part) settled.handed.push',
      },
    ],
  },
]

/** Both ends of the lease protocol, in whole lives with everything that can go wrong between them. */
export const leasesHold: Scenario<Size> = {
  name: 'leases-hold',
  promise:
    'in any order of messages, deaths and owners no hard budget is granted or charged above its limit, and at rest all of it can be spent',
  full: { schedules: 10_000, gateways: 10 },
  small: { schedules: 20, gateways: 4 },
  run: (run, size) => runProgram(run, 'simulate-leases.ts', size, []),
  mutant: {
    name: leaseMistakes.map(({ name }) => name).join('; '),
    size: { schedules: 4_000, gateways: 4 },
    run: everyMistakeIsFound,
  },
}

/** Runs with each mistake alone. A promise is kept where its mistake was found. */
export function findMistakes(run: ScenarioRun, size: Size, mistakes: readonly Mistake[]): Promise<Outcome> {
  return runProgram(run, 'find-lease-mistakes.ts', { ...size, mistakes }, [])
}

/** Broken where every single mistake was found. */
async function everyMistakeIsFound(run: ScenarioRun, size: Size): Promise<Outcome> {
  const mistakes = leaseMistakes.map(mistake => ({ ...mistake, seed: run.seed }))
  const { kept } = await findMistakes(run, size, mistakes)
  const survivors = kept.filter(part => !part.kept).map(({ promise }) => promise)
  return {
    figures: Object.fromEntries(kept.map(({ promise, found }) => [promise, found])),
    kept: [
      {
        promise: 'some mistake survives',
        kept: survivors.length > 0,
        found: survivors.length > 0 ? survivors.join('; ') : `all ${leaseMistakes.length} were found`,
      },
    ],
  }
}
