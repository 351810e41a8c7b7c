import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { UsageRecordedData } from '@sluice/contracts'
import type { BillRecord, ShownRequest } from '@sluice/simulator'
import { eventually, startTestStack, type TestStack } from '@sluice/test-env'
import { estimateTokens } from '@sluice/usage'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { EventFeed } from '../event-feed.ts'
import { signIn } from '../management.ts'
import { newProject } from '../new-project.ts'
import { callAndLeave, leavingPool, type SeenCall, type StreamKind, streamKinds } from './abort-calls.ts'
import { readLedger } from './accounts-of-a-run.ts'
import { type Replacement, restartAsMutant } from './mutant.ts'
import { seededRandom } from './random.ts'
import type { Outcome, Scenario, ScenarioRun } from './scenario.ts'

interface Size {
  /** Calls of each kind of stream in each way of ending. */
  each: number
  connections: number
  /** What 99 of 100 providers have heard within, of a client that left. */
  heardWithinMs: number
}

/**
 * `cancel`, `drain`: the client leaves at a random byte, under that policy. `dies`: the provider's connection breaks at a
 * random byte. `waits`: the client leaves, under `cancel`, a call that is not streamed.
 */
const ways = ['cancel', 'drain', 'dies', 'waits'] as const
type Way = (typeof ways)[number]

interface EndedCall extends SeenCall {
  way: Way
  /** Bytes of text in one chunk. */
  chunkBytes: number
}

/** A provider that works for so long for a client that has left was never told. */
const ranOnMs = 1_000

/** A call with what the gateway and the provider say of it. */
interface JudgedCall extends EndedCall {
  events: UsageRecordedData[]
  bill: BillRecord | undefined
}

async function run(at: ScenarioRun, size: Size, mutant: readonly Replacement[] = []): Promise<Outcome> {
  const stack = await startTestStack(at.scope, { services: ['accounts', 'billing', 'budget', 'gateway'] })
  const admin = await signIn(stack)
  const projects = {
    cancel: await newProject(stack, admin, { on_client_abort: { openai: 'cancel', anthropic: 'cancel' } }),
    drain: await newProject(stack, admin, { on_client_abort: { openai: 'drain', anthropic: 'drain' } }),
  }
  if (mutant.length > 0) await restartAsMutant(stack.services.gateway, mutant)
  const feed = new EventFeed(stack)
  const random = seededRandom(at.seed)
  const pool = leavingPool(stack.url, size.connections)
  const plans = ways.flatMap(way =>
    streamKinds.flatMap(kind => Array.from({ length: size.each }, () => planCall(way, kind, random))),
  )
  shuffle(plans, random)
  const seen: EndedCall[] = []
  const next = plans.entries()
  const worker = async () => {
    for (const [index, { way, kind, chunkBytes, ...plan }] of next) {
      const apiKey = (way === 'drain' ? projects.drain : projects.cancel).apiKey
      const call = await callAndLeave(pool, { run: String(index), apiKey, kind, ...plan })
      seen.push({ ...call, way, chunkBytes })
      if (seen.length % 500 === 0) at.say(`${seen.length} of ${plans.length} calls`)
    }
  }
  await Promise.all(Array.from({ length: size.connections }, worker))
  await pool.destroy()
  const { records, calls } = await waitForAccounts(stack, feed, seen)
  writeFileSync(join(at.logs, 'calls.ndjson'), calls.map(call => `${JSON.stringify(call)}\n`).join(''))
  return judge(calls, records, await settledLedger(stack, feed), size)
}

/** What a call asks for, and when it ends: from its first byte to nearly its last. */
function planCall(way: Way, kind: StreamKind, random: () => number) {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  const tokensPerChunk = pick([1, 2, 4])
  const chunks = 20 + Math.floor(random() * 30)
  const tokens = chunks * tokensPerChunk
  const what = pick(['', 'alphabet=cjk', 'alphabet=emoji', `tool=look tool_tokens=${tokens}`])
  const delayMs = 2 + Math.floor(random() * 4)
  const atByte = 1 + Math.floor(random() * chunks * kind.bytesPerChunk * 0.9)
  const orders = `${what} output_tokens=${what.startsWith('tool') ? 0 : tokens} tokens_per_chunk=${tokensPerChunk} delay_ms=${delayMs}`
  const fault = way === 'dies' ? ` fault=drop at_byte=${atByte}` : ''
  const body = { ...kind.bodyOf(`Call. [[sim ${orders}${fault}]]`), stream: way !== 'waits' }
  return {
    way,
    kind,
    body,
    chunkBytes: tokensPerChunk * 4,
    ...(way === 'cancel' || way === 'drain' ? { leaveAtByte: atByte } : {}),
    ...(way === 'waits' ? { leaveAfterMs: Math.floor(random() * chunks * delayMs * 0.9) } : {}),
  }
}

function shuffle(list: unknown[], random: () => number): void {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[list[last], list[other]] = [list[other], list[last]]
  }
}

/** Waits until the bill is closed and every call on it has an event, or nothing changes any more. */
async function waitForAccounts(stack: TestStack, feed: EventFeed, seen: readonly EndedCall[]) {
  const origin = `${stack.simulatorUrl}/simulator`
  const read = async <T>(path: string) => (await (await fetch(`${origin}${path}`)).json()) as T
  const records = await eventually(
    async () => {
      const bill = await read<{ records: BillRecord[] }>('/bill')
      return bill.records.every(record => record.ended !== 'running') && bill.records
    },
    { timeoutMs: 60_000, intervalMs: 100, message: 'a bill without running calls' },
  )
  const runOf = new Map<string, string>()
  for (const { bill_id } of records) {
    const request = await read<ShownRequest>(`/requests/${bill_id}`)
    const value = request.headers.find(([name]) => name.toLowerCase() === 'x-run')?.[1]
    if (value !== undefined) runOf.set(value, bill_id)
  }
  const isComplete = () => {
    const events = feed.byTag('run')
    return [...runOf.keys()].every(name => events.has(name))
  }
  await eventually(isComplete, { timeoutMs: 15_000, message: 'an event for every call on the bill' }).catch(() => false)
  const byId = new Map(records.map(record => [record.bill_id, record]))
  const events = feed.byTag('run')
  const calls = seen.map((call): JudgedCall => {
    const bill = byId.get(runOf.get(call.run) ?? '')
    return { ...call, events: events.get(call.run) ?? [], bill }
  })
  return { records, calls }
}

/** The ledger, once it has posted what is on the bus. */
async function settledLedger(stack: TestStack, feed: EventFeed) {
  const ledger = await eventually(
    async () => {
      const read = await readLedger(stack)
      return read.total.events === feed.all.length && read
    },
    { timeoutMs: 30_000, intervalMs: 200 },
  ).catch(() => readLedger(stack))
  const sum = feed.all.reduce((total, event) => total + BigInt(event.cost_nano_usd), 0n)
  return { difference: ledger.total.costNanoUsd - sum, missing: feed.all.length - ledger.total.events }
}

function judge(
  calls: readonly JudgedCall[],
  records: readonly BillRecord[],
  ledger: { difference: bigint; missing: number },
  size: Size,
): Outcome {
  const onBill = calls.filter(call => call.bill !== undefined)
  const ended = onBill.filter(call => call.events.length === 1 && call.events[0]?.status !== 'completed')
  const estimated = ended.filter(call => call.way !== 'drain' && isEstimated(eventOf(call)))
  const left = onBill.filter(call => (call.way === 'cancel' || call.way === 'waits') && call.leftAtMs !== undefined)
  // A provider that came to its end after its client had left has not heard of it until then.
  const heard = left.flatMap(({ bill, leftAtMs = 0 }) => {
    const heardAtMs = bill?.abort_seen_at_ms ?? bill?.ended_at_ms
    return heardAtMs == null || heardAtMs < leftAtMs ? [] : [heardAtMs - leftAtMs]
  })
  const unheard = left.filter(
    ({ bill, leftAtMs = 0 }) => bill?.ended === 'completed' && (bill.ended_at_ms ?? 0) - leftAtMs > ranOnMs,
  )
  const streamed = estimated.filter(call => call.way !== 'waits')
  const measuredInput = streamed.filter(call => call.kind.name === 'messages' && call.shown !== '')
  const none = (promise: string, wrong: readonly JudgedCall[]) => ({
    promise,
    kept: wrong.length === 0,
    found: `${wrong.length}${wrong.length > 0 ? ` (calls ${wrong.slice(0, 5).map(call => call.run)}…)` : ''}`,
  })
  const p99 = percentile(heard, 0.99)
  return {
    figures: {
      'calls at the provider': onBill.length,
      ...Object.fromEntries(
        ways.map(way => [`ended early: ${way}`, ended.filter(call => call.way === way).length] as const),
      ),
      'provider heard after, ms (p50, p99, max)': [0.5, 0.99, 1].map(part => percentile(heard, part)).join(', '),
      'output within one chunk of what the client saw, %': percentOf(streamed, call => isNear(call, 'client')),
      ...Object.fromEntries(
        ['cancel', 'dies', 'waits'].flatMap(way =>
          streamKinds.map(kind => [
            `estimate / bill: ${way}, ${kind.name}`,
            ratio(estimated.filter(call => call.way === way && call.kind === kind)),
          ]),
        ),
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
      none(
        'calls that ended early and were not marked as estimated',
        ended.filter(call => call.way !== 'drain' && !isEstimated(eventOf(call)) && eventOf(call)?.cost_nano_usd !== 0),
      ),
      none(
        'calls that ended early, generated something and cost nothing',
        ended.filter(call => (call.bill?.cost_nano_usd ?? 0) > 0 && eventOf(call)?.cost_nano_usd === 0),
      ),
      none(
        'inputs that the provider had told and the event has not exactly',
        measuredInput.filter(call => !hasExactInput(call)),
      ),
      none(
        'outputs more than one chunk off what was visible at client and provider',
        streamed.filter(call => !isNear(call, 'between')),
      ),
      none(
        'drained or completed calls with another cost than the bill',
        onBill.filter(({ bill, events: [event] }) => {
          const isWhole = event?.status === 'completed' || Object.values(event?.provenance ?? {}).includes('drained')
          return isWhole && event?.cost_nano_usd !== bill?.cost_nano_usd
        }),
      ),
      none(
        'drained calls that were not measured',
        ended.filter(call => call.way === 'drain' && call.bill?.ended === 'completed' && isEstimated(eventOf(call))),
      ),
      none('calls that ran on at the provider after their client had left', unheard),
      {
        promise: `provider heard within ${size.heardWithinMs} ms (99 of 100)`,
        kept: heard.length > 0 && p99 <= size.heardWithinMs,
        found: `${p99} ms of ${heard.length}`,
      },
      {
        promise: 'ledger minus the sum of events, nano-USD',
        kept: ledger.difference === 0n && ledger.missing === 0,
        found: `${ledger.difference} (${ledger.missing} events missing)`,
      },
    ],
  }
}

const eventOf = (call: JudgedCall): UsageRecordedData | undefined => call.events[0]

function isEstimated(event: UsageRecordedData | undefined): boolean {
  return Object.values(event?.provenance ?? {}).includes('estimated')
}

function hasExactInput(call: JudgedCall): boolean {
  const { quantities = {}, provenance = {} } = eventOf(call) ?? {}
  const { billed } = call.bill as BillRecord
  const isMeasured = Object.entries(provenance).every(([name, mark]) => !name.startsWith('in_') || mark === 'measured')
  return (
    isMeasured &&
    (quantities.in_text ?? 0) === billed.input_fresh &&
    (quantities.in_cache_read ?? 0) === billed.input_from_cache &&
    (quantities.in_cache_write_5m ?? 0) === billed.input_to_cache_5m
  )
}

/**
 * What is under way when a client leaves has been generated and not been seen: an output must lie between what the client
 * saw and what the provider had generated, give or take one chunk, in one of the ways in which text is counted.
 */
function isNear(call: JudgedCall, to: 'client' | 'between'): boolean {
  const output = eventOf(call)?.quantities.out_text ?? 0
  const shownBytes = Buffer.byteLength(call.shown)
  const least = Math.max(0, shownBytes - call.chunkBytes)
  const most = (to === 'client' ? shownBytes : Math.max(shownBytes, generatedBytes(call))) + call.chunkBytes
  if (output >= estimateTokens(least) && output <= estimateTokens(most)) return true
  // By the vocabulary: each byte that was not seen like those that were; a word at either end may be cut in two.
  const perByte = shownBytes === 0 ? 1 : countTokens(call.shown) / shownBytes
  return output >= Math.floor(least * perByte) - 1 && output <= Math.ceil(most * perByte) + 1
}

/** Four bytes a token, and the name of a tool, which is seen and not billed. */
const generatedBytes = (call: JudgedCall) => (call.bill?.generated_output_tokens ?? 0) * 4 + 'look'.length

function ratio(calls: readonly JudgedCall[]): string {
  const ratios = calls
    .filter(call => (call.bill?.cost_nano_usd ?? 0) > 0)
    .map(call => (eventOf(call)?.cost_nano_usd ?? 0) / (call.bill?.cost_nano_usd ?? 1))
    .sort((a, b) => a - b)
  const at = (part: number) => ratios[Math.min(ratios.length - 1, Math.floor(part * ratios.length))]?.toFixed(2)
  return ratios.length === 0 ? 'none' : `p5 ${at(0.05)}, p50 ${at(0.5)}, p95 ${at(0.95)} of ${ratios.length}`
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function percentOf<T>(values: readonly T[], holds: (value: T) => boolean): string {
  return values.length === 0 ? 'none' : ((values.filter(holds).length * 100) / values.length).toFixed(1)
}

/** The client's leaving is looked for at the request, whose end of body closes it: there it is never heard. */
const listensAtTheRequest: Replacement[] = [
  {
    file: 'services/gateway/src/relay.ts',
    from: "response.on('close', () => {",
    to: "response.req.on('close', () => {",
  },
]

export const aborts: Scenario<Size> = {
  name: 'aborts',
  promise: 'Whoever leaves at whatever byte, the call is settled: to the bill when drained, else by what was visible',
  full: { each: 200, connections: 6, heardWithinMs: 100 },
  // Other tests take the same two cores: of the time, a multiple is allowed here.
  small: { each: 4, connections: 6, heardWithinMs: 1_000 },
  run,
  mutant: {
    name: 'listening for the client at its request',
    size: { each: 4, connections: 6, heardWithinMs: 100 },
    run: (at, size) => run(at, size, listensAtTheRequest),
  },
}
