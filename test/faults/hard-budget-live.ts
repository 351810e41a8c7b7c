import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { type Management, signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import {
  areHomesShared,
  billedSince,
  endOfBill,
  readBooks,
  readBudget,
  readLeases,
  usableOf,
} from './budget-accounts.ts'
import { BudgetCast, type FaultKind } from './budget-cast.ts'
import { drainBudget } from './drain-budget.ts'
import type { Replacement } from './mutant.ts'
import { seededRandom } from './random.ts'
import { keepServiceLogs } from './run-views.ts'
import { brokenPromises, type Outcome, type RunStack, type Scenario, type ScenarioRun } from './scenario.ts'
import { spendingModel, startSpending } from './spending-clients.ts'

interface Size {
  gateways: number
  /** At a time, at each gateway. */
  streams: number
  seeds: number
  /** How much of the limit is spent by all at once, at least and at most; the rest is spent by one at a time. */
  together: [least: number, most: number]
  /** What happens while it is. @param number of the seed, from 0 */
  faults: (number: number, random: () => number) => readonly FaultKind[]
  /** Journals of the dead may be taken over, which takes ten seconds. */
  adoptable: boolean
}

const limitNanoUsd = 1_000_000_000
/** With less settled a seed has shown too little. */
const leastSettled = 400_000_000
/** 2,000 of them fit. */
const leastHold = limitNanoUsd / 2_000
const nanoUsdOfToken = 1_600
const longestMs = 60_000

/** What one budget has come to. */
interface SeedResult {
  seed: number
  billed: number
  settled: number
  unresolved: number
  /** Of what could be spent at all, in thousandths. */
  usedPerMille: number
  drained: number
  outcomes: Readonly<Record<string, number>>
  faults: readonly FaultKind[]
  broken: string[]
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack()
  const admin = await signIn(stack)
  const cast = await BudgetCast.start(at, stack, size, mutant)
  const results: SeedResult[] = []
  try {
    let since = await endOfBill(stack)
    for (let number = 0; number < size.seeds; number++) {
      const result = await spendOneBudget(
        { at, stack, admin, cast, size },
        { number, seed: at.seed * 1_000 + number, since },
      )
      results.push(result)
      at.say(describe(result))
      for (const what of result.broken) at.say(`BROKEN ${what}`)
      since = await endOfBill(stack)
      // What is broken stays broken: more seeds would only hide which one it was.
      if (mutant.length > 0 && result.broken.length > 0) break
    }
  } finally {
    await cast.stop()
    keepServiceLogs(at, stack)
  }
  return judge(results)
}

interface Scene {
  at: ScenarioRun
  stack: RunStack
  admin: Management
  cast: BudgetCast
  size: Size
}

/** One budget from its first call to its last: spent by many at once under faults, then by one at a time. */
async function spendOneBudget(
  scene: Scene,
  { number, seed, since }: { number: number; seed: number; since: number },
): Promise<SeedResult> {
  const { stack, admin, cast, size } = scene
  const random = seededRandom(seed)
  const { projectId, apiKey } = await newProject(stack, admin, {})
  const budgetId = await makeBudget(scene, projectId, apiKey)
  const faults = plan(size.faults(number, random), random)
  const { origins } = cast
  const spending = startSpending({ origins, streams: size.streams, apiKey, seed })
  const beganAt = performance.now()
  const [least, most] = size.together
  const target = limitNanoUsd * (least + random() * (most - least))
  try {
    const due = [...faults]
    while (performance.now() - beganAt < longestMs) {
      const part = (spending.outputTokens * nanoUsdOfToken) / target
      while (due[0] && part >= due[0].part) cast.begin(due.shift()?.kind ?? 'budget killed', random)
      if (part >= 1) break
      // Those whose money the dead have taken with them find none before it is known what became of it.
      if (due.length === 0 && usableOf(await readBudget(stack, budgetId)) < leastSettled / 4) break
      await delay(50)
    }
  } finally {
    await spending.stop()
    await cast.untilMended()
  }
  const broken: string[] = []
  const check = (isKept: boolean, what: string) => {
    if (!isKept) broken.push(`seed ${seed}: ${what}`)
  }
  await eventually(async () => (await billedSince(stack, since)) !== undefined)
  // Its journal is replayed, or found by a sibling that looks each ten seconds.
  const isReleased = await eventually(async () => (await readBudget(stack, budgetId)).ofTheDead === 0).catch(
    () => false,
  )
  await eventually(() => areHomesShared(stack, cast.budgetServices))
  check(isReleased, `${(await readBudget(stack, budgetId)).ofTheDead} nano-USD are held by gateways that are gone`)
  const drain = await drainBudget({ stack, budgetId, apiKey, origins, leastNanoUsd: leastHold })
  const billed = (await billedSince(stack, since)) ?? Number.NaN
  const { settled, unresolved, limit, outstanding } = drain.state
  check(billed <= limit, `the provider charges ${billed} of ${limit} nano-USD`)
  check(
    billed <= settled + unresolved,
    `the provider charges ${billed}, settled and unresolved are ${settled + unresolved}`,
  )
  check(settled >= leastSettled, `only ${settled} nano-USD are settled`)
  check(drain.phantoms.length === 0, `refused all the same ${drain.phantoms.join('; ')}`)
  const usedPerMille = Math.floor((settled * 1_000) / (limit - unresolved))
  check(usedPerMille >= 990, `of ${limit - unresolved} nano-USD ${settled} could be used`)
  check(outstanding <= leastHold, `${outstanding} nano-USD are held by nobody's call`)
  const books = await agreedBooks(stack, projectId, settled)
  check(
    books.log === settled && books.ledger === settled,
    `budget ${settled}, usage log ${books.log}, ledger ${books.ledger} nano-USD`,
  )
  if (broken.length > 0)
    writeFileSync(
      join(scene.at.logs, `leases-${seed}.json`),
      JSON.stringify(await readLeases(stack, budgetId), null, 2),
    )
  return {
    seed,
    billed,
    settled,
    unresolved,
    usedPerMille,
    drained: drain.answered,
    outcomes: spending.outcomes,
    faults: faults.map(({ kind }) => kind),
    broken,
  }
}

/** A hard budget over the whole project, which every gateway knows. */
async function makeBudget({ admin, cast }: Scene, projectId: string, apiKey: string): Promise<string> {
  const { status, body } = await admin.call<{ id: string }>('POST', `/accounts/projects/${projectId}/budgets`, {
    name: 'the dollar',
    scope: {},
    unit: 'usd',
    limit: '1.00',
    window: 'total',
    mode: 'hard',
    hold: 'exact',
  })
  if (status !== 201) throw new Error(`no budget: ${status} ${JSON.stringify(body)}`)
  for (const origin of cast.origins)
    await eventually(async () => {
      const answer = await fetch(`${origin}/openai/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: spendingModel, messages: [{ role: 'user', content: 'x' }], max_tokens: 1 }),
      })
      await answer.arrayBuffer()
      return answer.headers.get('sluice-budget-name') === 'the dollar'
    })
  return body.id
}

interface PlannedFault {
  kind: FaultKind
  /** When so much of what is to be spent is spent. */
  part: number
}

function plan(kinds: readonly FaultKind[], random: () => number): PlannedFault[] {
  return kinds.map(kind => ({ kind, part: random() * 0.9 })).sort((a, b) => a.part - b.part)
}

/** Billing's books when they agree with the budget, or when they have had the time to. */
async function agreedBooks(stack: RunStack, projectId: string, settled: number) {
  let books = { log: 0, ledger: 0 }
  await eventually(
    async () => {
      books = await readBooks(stack, projectId)
      return books.log === settled && books.ledger === settled
    },
    { intervalMs: 500 },
  ).catch(() => {})
  return books
}

function describe({ seed, billed, settled, unresolved, usedPerMille, drained, outcomes, faults }: SeedResult): string {
  const dollars = (nanoUsd: number) => `$${(nanoUsd / 1e9).toFixed(4)}`
  return `${seed}: billed ${dollars(billed)}, settled ${dollars(settled)}, unresolved ${dollars(unresolved)}, ${usedPerMille / 10} % used, ${drained} to drain; ${JSON.stringify(outcomes)}; ${faults.join(', ')}`
}

function judge(results: readonly SeedResult[]): Outcome {
  const outcomes: Record<string, number> = {}
  for (const result of results)
    for (const [outcome, count] of Object.entries(result.outcomes)) outcomes[outcome] = (outcomes[outcome] ?? 0) + count
  const sum = (count: (result: SeedResult) => number) => results.reduce((total, result) => total + count(result), 0)
  const least = (value: (result: SeedResult) => number) => Math.min(...results.map(value))
  const broken = results.flatMap(result => result.broken)
  return {
    figures: {
      seeds: results.length,
      ...Object.fromEntries(Object.entries(outcomes).map(([outcome, count]) => [`calls: ${outcome}`, count])),
      'budget services killed, paused': `${sum(of('budget killed'))}, ${sum(of('budget paused'))}`,
      'gateways killed, paused': `${sum(of('gateway killed'))}, ${sum(of('gateway paused'))}`,
      "most on the provider's bill, nano-USD of 1,000,000,000": Math.max(...results.map(({ billed }) => billed)),
      'least settled, nano-USD': least(({ settled }) => settled),
      'most unresolved, nano-USD': Math.max(...results.map(({ unresolved }) => unresolved)),
      'least part of the limit less what is unresolved that could be used, %': least(each => each.usedPerMille) / 10,
    },
    kept: [
      {
        promise: 'bill within limit, all of it usable, every record the same',
        kept: broken.length === 0,
        found: broken.length === 0 ? `in ${results.length} seeds` : broken.join('; '),
      },
    ],
  }
}

function of(kind: FaultKind): (result: SeedResult) => number {
  return ({ faults }) => faults.filter(each => each === kind).length
}

const leases = 'packages/leases/src'
const mistakes: readonly { name: string; replacements: readonly Replacement[] }[] = [
  {
    name: 'the journal knows no leases',
    replacements: [
      {
        file: `${leases}/journaled-leases.ts`,
        from: 'return [...this.#leases.values()].map',
        to: 'return ([] as LeaseTotals[]).map',
      },
    ],
  },
  {
    name: 'a call checks and holds nothing',
    replacements: [
      { file: `${leases}/wallet.ts`, from: 'lease.held += amount\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'pool.free -= amount\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'lease.held += part\n', to: '' },
      { file: `${leases}/wallet.ts`, from: 'item.pool.free -= amount - rest', to: '' },
      { file: `${leases}/wallet.ts`, from: 'lease.held -= part.amount', to: '' },
    ],
  },
]

/** Broken where every single mistake was found. */
async function findMistakes(at: ScenarioRun, size: Size): Promise<Outcome> {
  const figures: Outcome['figures'] = {}
  const survivors: string[] = []
  for (const { name, replacements } of mistakes) {
    const [broken] = brokenPromises(await run(at, size, replacements))
    figures[name] = broken ?? 'not found'
    if (broken === undefined) survivors.push(name)
  }
  return {
    figures,
    kept: [
      {
        promise: 'some mistake survives',
        kept: survivors.length > 0,
        found: survivors.length > 0 ? survivors.join('; ') : `all ${mistakes.length} were found`,
      },
    ],
  }
}

const everything: readonly FaultKind[] = [
  'budget killed',
  'budget killed',
  'budget killed',
  'budget paused',
  'gateway killed',
  'gateway paused',
]

export const hardBudgetLive: Scenario<Size> = {
  name: 'hard-budget-live',
  promise:
    'whatever is killed or paused, the provider charges no more than an exact budget allows, and all that is not in doubt can be spent',
  full: {
    gateways: 4,
    streams: 250,
    seeds: 20,
    together: [0.45, 0.7],
    faults: (_, random) => [...everything, ...(random() < 0.5 ? (['gateway killed'] as const) : [])],
    adoptable: true,
  },
  small: {
    gateways: 2,
    streams: 25,
    seeds: 1,
    together: [0.02, 0.04],
    faults: () => ['budget killed', 'gateway killed'],
    adoptable: false,
  },
  run,
  mutant: {
    name: mistakes.map(({ name }) => name).join('; '),
    size: {
      gateways: 3,
      streams: 100,
      seeds: 5,
      together: [0.45, 0.7],
      faults: () => ['gateway killed', 'gateway killed'],
      adoptable: false,
    },
    run: findMistakes,
  },
}
