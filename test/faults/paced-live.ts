import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { type Management, signIn } from '../management.ts'
import { readUsageLog } from './accounts-of-a-run.ts'
import { billOf, endOfBill, openCopies, readCopies } from './budget-accounts.ts'
import { BudgetCast } from './budget-cast.ts'
import type { Replacement } from './mutant.ts'
import { findOvershoot, type Overshoot } from './overshoot.ts'
import { keepServiceLogs } from './run-views.ts'
import { brokenPromises, type Outcome, type RunStack, type Scenario, type ScenarioRun } from './scenario.ts'
import { runSessions, type Seat, type SessionCall } from './seat-sessions.ts'
import type { SessionModel } from './session-prompt.ts'

interface Size {
  gateways: number
  budgetServices: number
  seats: number
  /** Of each seat, at the same time. */
  sessions: number
  /** Of each seat, a day. */
  limitUsd: string
  promptTokens: readonly [number, number]
  outputTokens: readonly [number, number]
  everyMs: number
  answerMs: number
  models: readonly SessionModel[]
  /** Of the calls until {@link freePart}, so many in a million may be refused, clamped or cut. */
  mostPerMillion: number
}

/** Below it nobody is to be refused, and no call to be made smaller. */
const freePart = 0.8

/** What has come of all calls, those apart that came out while their seat had settled less than {@link freePart}. */
interface Tally {
  below: Record<string, number>
  above: Record<string, number>
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  // Nothing of it is asked of analytics, which would take a fifteenth of the CPU.
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  const admin = await signIn(stack)
  const cast = await BudgetCast.start(at, stack, { ...size, adoptable: false }, mutant)
  try {
    const { projectId, seats } = await makeSeats(admin, size.seats)
    const budgetId = await makeBudget(admin, projectId, size.limitUsd)
    await untilKnown(cast.origins, seats)
    const since = await endOfBill(stack)
    const { tally, calls } = await spend(at, stack, size, { budgetId, seats, origins: cast.origins })
    const bill = await eventually(() => billOf(stack, since), { timeoutMs: 60_000 })
    const overshoot = await agreedOvershoot(stack, { projectId, budgetId, size, bill, calls })
    return judge(size, tally, overshoot)
  } finally {
    await cast.stop()
    keepServiceLogs(at, stack)
  }
}

/** A project, and in it people with a key each. */
async function makeSeats(admin: Management, count: number): Promise<{ projectId: string; seats: Seat[] }> {
  const post = async <T>(path: string, body: object): Promise<T> => {
    const answer = await admin.call<T>('POST', path, body)
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const { id: projectId } = await post<{ id: string }>('/accounts/projects', { name: 'seats' })
  const path = `/accounts/projects/${projectId}`
  const seats: Seat[] = []
  for (let number = 0; number < count; number++) {
    const email = `seat-${number}-${projectId}@example.com`
    const member = await post<{ user_id: string }>(`${path}/users`, { email, roles: ['member', 'llm_proxy_user'] })
    const key = await post<{ value: string }>(`${path}/api-keys`, { name: `seat ${number}`, member_id: member.user_id })
    seats.push({ copy: member.user_id, apiKey: key.value })
  }
  return { projectId, seats }
}

/** So much a day for each. */
async function makeBudget(admin: Management, projectId: string, limit: string): Promise<string> {
  const { status, body } = await admin.call<{ id: string }>('POST', `/accounts/projects/${projectId}/budgets`, {
    name: 'a seat a day',
    scope: {},
    per: 'member',
    unit: 'usd',
    limit,
    window: 'day',
    time_zone: zoneOfMorning(new Date().getUTCHours()),
    mode: 'hard',
    hold: 'paced',
  })
  if (status !== 201) throw new Error(`no budget: ${status} ${JSON.stringify(body)}`)
  return body.id
}

/** Where the day has just begun: it does not end while it is being spent. */
function zoneOfMorning(utcHours: number): string {
  const east = ((2 - utcHours + 36) % 24) - 12
  return east === 0 ? 'Etc/GMT' : `Etc/GMT${east > 0 ? '-' : '+'}${Math.abs(east)}`
}

/** Every gateway knows the keys, and the budget. */
async function untilKnown(origins: readonly string[], seats: readonly Seat[]): Promise<void> {
  const [first, last] = [seats[0], seats.at(-1)]
  for (const origin of origins)
    for (const seat of [first, last])
      await eventually(
        async () => {
          const answer = await fetch(`${origin}/openai/v1/chat/completions`, {
            method: 'POST',
            headers: { authorization: `Bearer ${seat?.apiKey}`, 'content-type': 'application/json' },
            body: JSON.stringify({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'x' }], max_tokens: 1 }),
          })
          await answer.arrayBuffer()
          return answer.headers.get('sluice-budget-name') === 'a seat a day'
        },
        { timeoutMs: 20_000 },
      )
}

interface Spending {
  budgetId: string
  seats: readonly Seat[]
  origins: readonly string[]
}

/** All sessions of all seats, until every seat has spent its money. */
async function spend(
  at: ScenarioRun,
  stack: RunStack,
  size: Size,
  { budgetId, seats, origins }: Spending,
): Promise<{ tally: Tally; calls: SessionCall[] }> {
  const tally: Tally = { below: {}, above: {} }
  const calls: SessionCall[] = []
  const free = limitOf(size) * freePart
  const reader = await openCopies(stack, budgetId)
  let copies = await reader.read()
  const log = createWriteStream(join(at.logs, 'calls.jsonl'))
  const count = ({ seat, model, outcome }: SessionCall): void => {
    const settled = copies.get(seat.copy)?.settled ?? 0
    const part = settled < free ? tally.below : tally.above
    part[outcome] = (part[outcome] ?? 0) + 1
    log.write(`${JSON.stringify({ atMs: Date.now(), copy: seat.copy, model, outcome, settled })}\n`)
  }
  const judging: Promise<void>[] = []
  let isOver = false
  let underWay: Promise<void> | undefined
  // However many ask at once.
  const readAgain = (): Promise<void> => {
    underWay ??= reader
      .read()
      .then(read => {
        copies = read
      })
      .finally(() => {
        underWay = undefined
      })
    return underWay
  }
  const reading = (async () => {
    for (let saidAt = 0; !isOver; await delay(250)) {
      await readAgain()
      if (performance.now() - saidAt < 30_000) continue
      saidAt = performance.now()
      at.say(`${calls.length} calls: ${JSON.stringify(tally)}`)
    }
  })()
  await runSessions({
    ...size,
    origins,
    seats,
    seed: at.seed,
    onCall: call => {
      calls.push(call)
      if (call.outcome === 'whole') count(call)
      // What counts against the promise is held against what is settled by then.
      else judging.push(readAgain().then(() => count(call)))
    },
  })
  isOver = true
  await Promise.all([reading, ...judging])
  await reader.close()
  await new Promise(resolve => log.end(resolve))
  return { tally, calls }
}

interface Spent {
  projectId: string
  budgetId: string
  size: Size
  bill: ReadonlyMap<string, number>
  calls: readonly SessionCall[]
}

/** What stands above limits, once the budget has counted all that is on record, or has had the time to. */
async function agreedOvershoot(stack: RunStack, { projectId, budgetId, size, bill }: Spent): Promise<Overshoot> {
  let found: Overshoot | undefined
  await eventually(
    async () => {
      const [copies, events] = [await readCopies(stack, budgetId), await readUsageLog(stack, projectId)]
      found = findOvershoot({ budgetId, limit: limitOf(size), copies, events, bill })
      return found.differing.length === 0
    },
    { timeoutMs: 30_000, intervalMs: 500 },
  ).catch(() => {})
  if (!found) throw new Error('neither budget nor usage log can be read')
  return found
}

function limitOf({ limitUsd }: Size): number {
  return Math.round(Number(limitUsd) * 1e9)
}

const inOrder = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${outcome} ${count}`)
    .join(', ')

function judge(size: Size, { below, above }: Tally, overshoot: Overshoot): Outcome {
  const belowAll = Object.values(below).reduce((sum, count) => sum + count, 0)
  const harmed = belowAll - (below.whole ?? 0)
  const { perSeat, causes, differing, unexplained, beyondRecord, wronglyBilled } = overshoot
  const most = Math.max(...perSeat.values())
  const dollars = (nanoUsd: number) => `$${(nanoUsd / 1e9).toFixed(6)}`
  const least = Math.min(...overshoot.settled.values())
  return {
    figures: {
      'calls below 80 %': inOrder(below),
      'calls above': inOrder(above),
      'refused, clamped or cut below 80 %, of a million': belowAll === 0 ? 0 : Math.round((harmed * 1e6) / belowAll),
      'seats above their limit': [...perSeat.values()].filter(each => each > 0).length,
      'most above a limit': dollars(most),
      'above limits in all': dollars([...perSeat.values()].reduce((sum, each) => sum + each, 0)),
      ...Object.fromEntries(Object.entries(causes).map(([cause, nanoUsd]) => [`of calls: ${cause}`, dollars(nanoUsd)])),
      'charged by the provider and on no record (said behind a cut)': dollars(beyondRecord),
      'least settled by a seat': dollars(least),
    },
    kept: [
      {
        promise: `while 80 % are not settled, at most ${size.mostPerMillion} calls in a million are refused, clamped or cut`,
        kept: belowAll > 0 && harmed * 1e6 <= belowAll * size.mostPerMillion,
        found: `${harmed} of ${belowAll}: ${inOrder(below)}`,
      },
      {
        promise: 'every seat can spend its money',
        kept: overshoot.settled.size === size.seats && least >= limitOf(size) * freePart,
        found: `${overshoot.settled.size} seats, ${dollars(least)} at least of ${dollars(limitOf(size))}`,
      },
      {
        promise: 'what stands above a limit has a cause that is named',
        kept: unexplained.length === 0,
        found: unexplained.length === 0 ? `${dollars(most)} at most` : unexplained.join('; '),
      },
      {
        promise:
          'budget and usage log say the same of each seat, and the provider no more than they do of calls that were not cut',
        kept: differing.length === 0 && wronglyBilled.length === 0,
        found: [...differing, ...wronglyBilled].slice(0, 5).join('; ') || 'the same to the nano-dollar',
      },
    ],
  }
}

interface Mistake {
  name: string
  replacements: readonly Replacement[]
  /** Where it shows, and how the promise begins that it breaks there. */
  size: Partial<Size>
  breaks: string
}

const chat: SessionModel = { path: '/openai/v1/chat/completions', model: 'gpt-4.1', isCached: false }

const mistakes: readonly Mistake[] = [
  {
    name: 'bytes are taken for tokens, whatever money that takes',
    replacements: [
      {
        file: 'services/gateway/src/bounds/tighten-bound.ts',
        from: 'const counted = count(textOf(call))',
        to: 'if (call) return loose; const counted = count(textOf(call))',
      },
      {
        file: 'services/gateway/src/bounds/counted-prompts.ts',
        from: 'if (!counted) return size',
        to: 'if (call) return size',
      },
    ],
    // No reply of a chat begins with what its input comes to: what it holds for that, it holds to its end. Ten at a time hold more by their
    // bytes than the last fifth of the money, and less by their tokens; of five that was so only where all were under way at once.
    size: { models: [chat], sessions: 10 },
    breaks: 'while 80 % are not settled',
  },
  {
    name: 'a stream goes on when what it has paid for is used up',
    replacements: [
      {
        file: 'services/gateway/src/leases/pace-stream.ts',
        from: 'if (this.#refusal && this.#seenTokens >= this.#coveredTokens)',
        to: 'if (this.#refusal && this.#seenTokens >= Number.MAX_SAFE_INTEGER)',
      },
    ],
    // Answers that are much longer than what they are paid for at first, to prompts so small that what is held for them pays for no more of it.
    size: {
      models: [chat],
      limitUsd: '2.00',
      promptTokens: [400, 1_500],
      outputTokens: [3_000, 8_000],
      answerMs: 3_000,
    },
    breaks: 'what stands above a limit',
  },
]

/** Broken where every single mistake was found. */
async function findMistakes(at: ScenarioRun, size: Size): Promise<Outcome> {
  const figures: Outcome['figures'] = {}
  const survivors: string[] = []
  for (const { name, replacements, size: own, breaks } of mistakes) {
    const outcome = await run(at, { ...size, ...own }, replacements)
    const broken = brokenPromises(outcome).find(promise => promise.startsWith(breaks))
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

const messages: SessionModel = {
  path: '/anthropic/v1/messages',
  model: 'claude-sonnet-4-6',
  maxTokens: 32_000,
  isCached: true,
}

const full: Size = {
  gateways: 4,
  budgetServices: 2,
  seats: 200,
  sessions: 5,
  limitUsd: '25.00',
  promptTokens: [40_000, 150_000],
  outputTokens: [60, 1_500],
  everyMs: 22_000,
  answerMs: 8_000,
  models: [chat, messages, { ...messages, isCached: false }],
  mostPerMillion: 1_000,
}
/** A twenty-fifth of money for a session, prompts and limits, on a machine that others use at the same time. */
const small: Size = {
  ...full,
  gateways: 2,
  budgetServices: 1,
  seats: 2,
  sessions: 3,
  limitUsd: '0.60',
  promptTokens: [1_600, 6_000],
  outputTokens: [60, 600],
  everyMs: 300,
  answerMs: 150,
  models: [
    { ...chat, maxTokens: 1_310 },
    { ...messages, maxTokens: 1_280 },
  ],
  // Of a hundred and forty calls a thousandth is none: up to four may meet a gateway that others have kept from running.
  mostPerMillion: 30_000,
}

export const pacedLive: Scenario<Size> = {
  name: 'paced-live',
  promise:
    'seats whose sessions have long prompts are not troubled before most of their money is spent, and stop at its end',
  full,
  small,
  run,
  mutant: {
    name: mistakes.map(({ name }) => name).join('; '),
    size: { ...full, gateways: 2, seats: 10, everyMs: 2_000, answerMs: 1_500 },
    run: findMistakes,
  },
}
