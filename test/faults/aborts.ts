import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BillRecord } from '@sluice/simulator'
import { eventually, type TestStack } from '@sluice/test-env'
import { EventFeed } from '../event-feed.ts'
import { signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { callAndLeave, leavingPool, type SeenCall } from './abort-calls.ts'
import { type BrokenCall, isWholeEstimate, judgeEstimate, type Verdict } from './abort-estimates.ts'
import { abortKinds } from './abort-kinds.ts'
import { leastPaceMs, type Plan, planCalls, Twins } from './abort-plan.ts'
import { type LedgerTotal, readLedger } from './accounts-of-a-run.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import { RunIndex } from './run-index.ts'
import type { Outcome, RunStack, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** Calls of each kind in each way of ending. */
  each: number
  connections: number
  /** Of 100 providers, how many must have heard of a client that left within {@link heardWithinMs}; absent: it is printed. */
  heardInTime?: number
  /** Of 100 calls that were left, how many must be recorded within one chunk of what their client had seen. */
  withinOneChunk: number
  /** Whether what the provider went on to say until it had heard of the leaving is no fault: other tests take the same cores. */
  isBusy?: boolean
}

/** What is promised: a client's leaving reaches the provider within it. */
const heardWithinMs = 100
/** A provider that works for so long for a client that has left was never told, beyond what others take to hear of it. */
const ranOnMs = 1_000

/** A call that was made, with its events and its line on the bill. */
interface MadeCall extends Plan {
  run: string
  seen: SeenCall
  events: BrokenCall['event'][]
  bill: BillRecord | undefined
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await at.stack({ services: ['accounts', 'billing', 'budget', 'gateway'] })
  const admin = await signIn(stack)
  const projects = {
    cancel: await newProject(stack, admin, { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } }),
    drain: await newProject(stack, admin, { on_client_abort: { openai: 'drain', anthropic: 'drain' } }),
  }
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const ledgerBefore = (await readLedger(stack)).total
  const feed = new EventFeed(stack)
  await hearSound(stack)
  const index = new RunIndex(stack.simulatorUrl)
  const random = seededRandom(at.seed)
  const provider = leavingPool(stack.simulatorUrl, size.connections)
  const plans = await planCalls(size.each, random, new Twins(provider, stack.simulatorUrl))
  await provider.destroy()
  shuffle(plans, random)
  const pool = leavingPool(stack.url, size.connections)
  const made: Omit<MadeCall, 'events' | 'bill'>[] = []
  const next = plans.entries()
  const worker = async () => {
    for (const [place, plan] of next) {
      const call = { ...plan, run: String(place), apiKey: projects[plan.way === 'drain' ? 'drain' : 'cancel'].apiKey }
      made.push({ ...plan, run: call.run, seen: await callAndLeave(pool, stack.url, call, plan.leaving) })
      if (made.length % 1_000 !== 0) continue
      at.say(`${made.length} of ${plans.length} calls`)
      await index.read()
    }
  }
  await Promise.all(Array.from({ length: size.connections }, worker))
  await pool.destroy()
  const { records, calls } = await waitForAccounts(stack, feed, index, made)
  writeFileSync(join(at.logs, 'calls.ndjson'), calls.map(call => `${JSON.stringify(logged(call))}\n`).join(''))
  return judge(calls, records, await settledLedger(stack, feed, ledgerBefore), await textsByBytes(stack), size)
}

/** The gateway's thread that reads sound starts with the first of it, and takes its time where the machine is busy. */
async function hearSound(stack: TestStack): Promise<void> {
  const kind = abortKinds.find(({ name }) => name === 'audio.transcriptions: as text')
  const request = kind?.ask('')
  for (let times = 0; request && times < 3; times++) {
    const answer = await fetch(`${stack.url}${request.path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, ...request.headers },
      body: new Uint8Array(request.body),
    })
    await answer.arrayBuffer()
  }
}

function shuffle(list: unknown[], random: () => number): void {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[list[last], list[other]] = [list[other], list[last]]
  }
}

/** Waits until the bill is closed and every call on it has an event, or nothing changes any more. */
async function waitForAccounts(
  stack: RunStack,
  feed: EventFeed,
  index: RunIndex,
  made: readonly Omit<MadeCall, 'events' | 'bill'>[],
) {
  const all = await eventually(
    async () => {
      const answer = await fetch(`${stack.simulatorUrl}/simulator/bill`)
      const { records } = (await answer.json()) as { records: BillRecord[] }
      return records.every(record => record.ended !== 'running') && records
    },
    { intervalMs: 100, message: 'a bill without running calls' },
  )
  await index.read()
  const ofRun = new Map<string, BillRecord>()
  const records = all.filter(record => !index.isTwin(record.bill_id) && !stack.billedBefore.has(record.bill_id))
  for (const record of records) {
    const name = index.runOf(record.bill_id)
    if (name !== undefined) ofRun.set(name, record)
  }
  const isComplete = () => {
    const events = feed.byTag('run')
    return [...ofRun.keys()].every(name => events.has(name))
  }
  await eventually(isComplete, { message: 'an event for every call on the bill' }).catch(() => false)
  const events = feed.byTag('run')
  const calls = made.map(
    (call): MadeCall => ({ ...call, events: events.get(call.run) ?? [], bill: ofRun.get(call.run) }),
  )
  return { records, calls }
}

function logged({ kind, twin: _, seen, request: __, ...call }: MadeCall) {
  return { ...call, kind: kind.name, seen: { ...seen, events: seen.events.length } }
}

/** The ledger, once it has posted what is on the bus. */
async function settledLedger(stack: TestStack, feed: EventFeed, before: LedgerTotal) {
  const readPosted = async () => {
    const { total } = await readLedger(stack)
    return { events: total.events - before.events, costNanoUsd: total.costNanoUsd - before.costNanoUsd }
  }
  const posted = await eventually(
    async () => {
      const read = await readPosted()
      return read.events === feed.all.length && read
    },
    { intervalMs: 200 },
  ).catch(readPosted)
  const sum = feed.all.reduce((total, event) => total + BigInt(event.cost_nano_usd), 0n)
  return { difference: posted.costNanoUsd - sum, missing: feed.all.length - posted.events }
}

/** Texts that the gateway has not counted for want of time, as it says itself. */
async function textsByBytes(stack: TestStack): Promise<number> {
  const answer = await fetch(stack.services.gateway.plan.readyUrl.replace('/health/ready', '/metrics'))
  return Number(/gateway_texts_counted_total\{by="bytes"\} (\d+)/.exec(await answer.text())?.[1] ?? 0)
}

/** A call that ended early, and what is to be said of its event. */
type JudgedCall = MadeCall & BrokenCall & { verdict: Verdict }

function judge(
  calls: readonly MadeCall[],
  records: readonly BillRecord[],
  ledger: { difference: bigint; missing: number },
  byBytes: number,
  size: Size,
): Outcome {
  const onBill = calls.filter(call => call.bill !== undefined)
  const settled = onBill.flatMap(call => {
    const [event] = call.events
    return call.bill && event && call.events.length === 1 ? [{ ...call, event, bill: call.bill }] : []
  })
  const ended = settled.filter(({ event }) => event.status !== 'completed')
  const judged: JudgedCall[] = ended
    .filter(call => call.way !== 'drain')
    .map(call => ({ ...call, verdict: judgeEstimate(call) }))
  const whole = settled.filter(
    ({ way, bill, event }) => bill.ended === 'completed' && (way === 'drain' || event.status === 'completed'),
  )
  const left = settled.filter(call => call.way === 'cancel' && call.seen.leftAtMs !== undefined)
  // A provider that came to its end after its client had left has not heard of it until then.
  const heard = left.flatMap(({ bill, seen: { leftAtMs = 0 } }) => {
    const heardAtMs = bill.abort_seen_at_ms ?? bill.ended_at_ms
    return heardAtMs == null || heardAtMs < leftAtMs ? [] : [heardAtMs - leftAtMs]
  })
  const toldAfterMs = left.flatMap(({ bill, seen: { leftAtMs = 0 } }) =>
    bill.abort_seen_at_ms == null ? [] : [bill.abort_seen_at_ms - leftAtMs],
  )
  const longestToldMs = Math.max(0, ...toldAfterMs)
  // With an event or not: one that nobody has told of its client's leaving may wait for that client for ever.
  const unheard = onBill.filter(
    ({ way, bill, seen: { leftAtMs } }) =>
      way === 'cancel' &&
      leftAtMs !== undefined &&
      bill?.ended === 'completed' &&
      (bill.ended_at_ms ?? 0) - leftAtMs > ranOnMs + longestToldMs,
  )
  const ahead = judged.flatMap(({ verdict }) => verdict.chunksAhead ?? [])
  const inTime = shareOf(heard, ms => ms <= heardWithinMs)
  const isNear = ({ verdict: { chunksAhead = 0 }, bill, seen: { leftAtMs = 0 } }: JudgedCall) => {
    const untilHeardMs = size.isBusy ? Math.max(0, (bill.abort_seen_at_ms ?? leftAtMs) - leftAtMs) : 0
    return chunksAhead <= 1 + Math.floor(untilHeardMs / leastPaceMs)
  }
  const byChunks = judged.filter(({ verdict }) => verdict.chunksAhead !== undefined)
  const near = shareOf(byChunks, isNear)
  const none = (promise: string, wrong: readonly MadeCall[]) => ({
    promise,
    kept: wrong.length === 0,
    found: `${wrong.length}${
      wrong.length > 0
        ? ` (${wrong
            .slice(0, 8)
            .map(call => `${call.run}: ${call.way}, ${call.kind.name}`)
            .join('; ')})`
        : ''
    }`,
  })
  const wrongIn = (what: Verdict['wrong']) => judged.filter(({ verdict }) => verdict.wrong === what)
  return {
    figures: {
      'calls at the provider': onBill.length,
      ...Object.fromEntries(
        (['cancel', 'drain', 'dies'] as const).map(
          way => [`ended early: ${way}`, ended.filter(call => call.way === way).length] as const,
        ),
      ),
      [`providers that heard within ${heardWithinMs} ms, of 100`]: (inTime * 100).toFixed(1),
      'provider heard after, ms (p50, p99, max)': [0.5, 0.99, 1].map(part => percentile(heard, part)).join(', '),
      'chunks recorded that the client had not seen (p50, p99, max)': [0.5, 0.99, 1]
        .map(part => percentile(ahead, part))
        .join(', '),
      'left calls recorded within one chunk of what their client had seen, of 100': (near * 100).toFixed(1),
      'texts told from bytes for want of time': byBytes,
      ...Object.fromEntries(
        abortKinds
          .filter(kind => !kind.isFree)
          .map(kind => [
            `estimate / bill: ${kind.name}`,
            (['cancel', 'dies'] as const)
              .map(way => `${way} ${ratio(judged.filter(call => call.way === way && call.kind === kind))}`)
              .join('; '),
          ]),
      ),
    },
    kept: [
      none(
        'calls on the bill without exactly one event',
        onBill.filter(call => call.events.length !== 1),
      ),
      {
        promise: 'lines of the bill that no call of ours stands for',
        kept: records.length === onBill.length,
        found: String(records.length - onBill.length),
      },
      none('calls that ended early and are neither marked as estimated nor told in full', wrongIn('marks')),
      none(
        'calls that ended early, cost something and are recorded at nothing',
        judged.filter(({ bill, event }) => bill.cost_nano_usd > 0 && event.cost_nano_usd === 0),
      ),
      none('inputs that are not what the provider had told, or the request tells', wrongIn('input')),
      none('outputs that are not what had come, counted as it is to be', wrongIn('output')),
      {
        promise: 'texts told from bytes that the gateway had time to count',
        kept: judged.filter(({ verdict }) => verdict.isByBytes).length <= byBytes,
        found: `${judged.filter(({ verdict }) => verdict.isByBytes).length} of ${byBytes}`,
      },
      {
        promise: `left calls recorded within one chunk of what their client had seen (${size.withinOneChunk} of 100)`,
        kept: ahead.length > 0 && near * 100 >= size.withinOneChunk,
        found: `${(near * 100).toFixed(1)} of 100 (${ahead.length})`,
      },
      none(
        'drained or completed calls with another cost than the bill',
        whole.filter(call => !call.kind.tellsNothing && call.event.cost_nano_usd !== call.bill.cost_nano_usd),
      ),
      none(
        'drained or completed calls that were estimated although their provider tells',
        whole.filter(call => !call.kind.tellsNothing && isEstimated(call)),
      ),
      none(
        'drained or completed calls whose provider tells nothing, not recorded as what was said',
        whole.filter(call => call.kind.tellsNothing && !isWholeEstimate(call)),
      ),
      none('calls that ran on at the provider after their client had left', unheard),
      {
        promise: `providers that heard of it, ${size.heardInTime ?? 0} of 100 within ${heardWithinMs} ms`,
        kept: heard.length > 0 && inTime * 100 >= (size.heardInTime ?? 0),
        found: `${(inTime * 100).toFixed(1)} of 100 (${heard.length})`,
      },
      {
        promise: 'ledger minus the sum of events, nano-USD',
        kept: ledger.difference === 0n && ledger.missing === 0,
        found: `${ledger.difference} (${ledger.missing} events missing)`,
      },
    ],
  }
}

function isEstimated({ event }: BrokenCall): boolean {
  return Object.values(event.provenance).includes('estimated')
}

function ratio(calls: readonly JudgedCall[]): string {
  const ratios = calls
    .filter(({ bill }) => bill.cost_nano_usd > 0)
    .map(({ event, bill }) => event.cost_nano_usd / bill.cost_nano_usd)
    .sort((a, b) => a - b)
  const at = (part: number) => ratios[Math.min(ratios.length - 1, Math.floor(part * ratios.length))]?.toFixed(2)
  return ratios.length === 0 ? 'none' : `p5 ${at(0.05)}, p50 ${at(0.5)}, p95 ${at(0.95)} of ${ratios.length}`
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function shareOf<T>(values: readonly T[], holds: (value: T) => boolean): number {
  return values.length === 0 ? 0 : values.filter(holds).length / values.length
}

/** Nothing tells a call that its client has left, whoever has read its request. */
const neverHearsOfLeaving: Replacement[] = [
  {
    file: 'services/gateway/src/relay.ts',
    from: 'if (!response.writableFinished) this.#onClientGone()',
    to: '',
  },
]

export const aborts: Scenario<Size> = {
  name: 'aborts',
  promise: 'Whoever leaves at whatever byte, the call is settled: to the bill when drained, else by what was visible',
  full: { each: 200, connections: 12, heardInTime: 99, withinOneChunk: 90 },
  // How soon a provider hears is printed: a quiet machine needs 39 ms at most, but other tests take the same two cores.
  small: { each: 1, connections: 12, withinOneChunk: 80, isBusy: true },
  run,
  mutant: {
    name: 'calls that do not hear their client leave',
    size: { each: 2, connections: 12, withinOneChunk: 80 },
    run: (at, size) => run(at, size, neverHearsOfLeaving),
  },
}
