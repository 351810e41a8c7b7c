import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { type Bus, connectBus, openBucket, rangeOfMessage } from '@sluice/bus'
import {
  GatewayEpochClosed,
  type GatewayEpochClosedData,
  type LeaseTotals,
  leaseTotalsOf,
  Mark,
  rangeId,
  seriesKey,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import { createLogger } from '@sluice/runtime'
import type { TestNats } from '@sluice/test-env'
import { busOf } from '@sluice/test-env'
import { uuidv7 } from 'uuidv7'
import { type JournalOptions, openJournal } from '../src/journal/journal.ts'
import type { OpenRecord, RateDraft, UsageDraft } from '../src/journal/open-record.ts'
import { encodeFrames, type RecordText, readFrame, recordType } from '../src/journal/record.ts'

export const log = createLogger('gateway', process.env.SLUICE_LOG_LEVEL ?? 'silent')

/** One project in each of several partitions. */
export const projects = [
  '00000000-0000-4000-8000-000000000001',
  '00000000-0000-4000-8000-000000000002',
  '00000000-0000-4000-8000-000000000003',
]

/** A record's JSON as a journal has it. */
export function jsonOf(text: Omit<RecordText, 'type'>): string {
  const frame = readFrame(encodeFrames([{ ...text, type: recordType.close }]), 0)
  if (typeof frame === 'string') throw new Error(`no frame: ${frame}`)
  return frame.json.toString()
}

export function openRecord(project = projects[0] ?? '', eventId = uuidv7()): OpenRecord {
  return {
    event_id: eventId,
    call_id: eventId,
    attempt: 1,
    identity: { account_id: 'acct_1', project_id: project, team_id: 'unassigned', credential_kind: 'key' },
    claimed: {},
    paid_by: 'managed',
    dialect: 'openai',
    endpoint: 'chat.completions',
    streamed: true,
    requested_model: 'gpt-4.1',
    provider: 'openai',
    served_by: 'simulator',
    admitted_at_ms: Date.now(),
    price_book_id: 'book',
    estimated_input: { in_text: 12 },
    leases: [],
    held: [],
  }
}

export function draftOf(open: OpenRecord): UsageDraft {
  const { estimated_input: _, holds: __, ...admitted } = open
  return {
    ...admitted,
    http_status: 200,
    status: 'completed',
    finish_reason: 'stop',
    finished_at_ms: open.admitted_at_ms + 250,
    duration_ms: 250,
    overhead_us: 90,
    quantities: { in_text: 11, out_text: 40 },
    provenance: { in_text: 'measured', out_text: 'measured' },
    modifiers: {},
    raw_usage: { prompt_tokens: 11, completion_tokens: 40 },
    priced: true,
    line_items: [],
    cost_nano_usd: 342_000,
  }
}

export const rate: RateDraft = () => ({ priced: true, line_items: [], cost_nano_usd: 7 })

export async function connectGateway(t: Scope, nats: Pick<TestNats, 'url' | 'users'>): Promise<Bus> {
  const { user, pass } = nats.users.gateway
  const bus = await connectBus({ url: nats.url, user, password: pass }, user, log)
  t.after(() => bus.close())
  return bus
}

export interface Scope {
  after: (clean: () => void | Promise<void>) => void
}

/** Hooks of a test run in the order they were given; what is opened here is closed in reverse, before all given later. */
export function reversed(t: Scope): Scope {
  const closes: (() => void | Promise<void>)[] = []
  t.after(async () => {
    for (const close of closes.reverse()) await close()
  })
  return { after: close => closes.push(close) }
}

/** Opens a journal that is shut down after the test. */
export async function openTestJournal(t: Scope, options: Partial<JournalOptions> & { directory: string; bus: Bus }) {
  const journal = await openJournal({
    rate,
    log,
    segmentBytes: 64 * 1024,
    reserveBytes: 256 * 1024,
    shutdownTimeoutMs: 1_000,
    ...options,
  })
  t.after(() => journal.shutdown())
  return journal
}

export interface Published {
  /** Distinct events in the order of their first appearance in the stream. */
  events: UsageRecordedData[]
  /** Numbers of each series in that order. */
  series: Map<string, number[]>
  closed: GatewayEpochClosedData[]
  messages: number
}

/** How many runs of gateways the stream says to be at their end: what is asked again and again, where reading it all takes long. */
export async function closedRuns(admin: NatsConnection): Promise<number> {
  const subject = GatewayEpochClosed.subject()
  const { state } = await (await jetstreamManager(admin)).streams.info('USAGE', { subjects_filter: subject })
  return state.subjects?.[subject] ?? 0
}

/** Everything the stream holds; a range that is there twice counts once, as for any consumer. */
export async function readStream(admin: NatsConnection): Promise<Published> {
  const published: Published = { events: [], series: new Map(), closed: [], messages: 0 }
  const { state } = await (await jetstreamManager(admin)).streams.info('USAGE')
  if (state.messages === 0) return published
  const consumer = await jetstream(admin).consumers.get('USAGE')
  const seen = new Set<string>()
  for await (const message of await consumer.consume()) {
    published.messages++
    if (message.subject === 'gateway.epoch-closed.v1') published.closed.push(GatewayEpochClosed.decode(message.data))
    else {
      const range = rangeOfMessage(message)
      const lines = message.string().split('\n')
      if (lines.length !== range.last - range.first + 1) throw new Error(`${rangeId(range)} has ${lines.length} lines`)
      for (const [index, line] of lines.entries()) {
        const event = UsageRecorded.decode(line)
        const key = seriesKey({ gatewayId: event.gateway_id, epoch: event.epoch, partition: event.partition })
        if (key !== seriesKey(range) || event.seq !== range.first + index)
          throw new Error(`${key} in ${rangeId(range)}`)
        if (seen.has(`${key}.${event.seq}`)) continue
        seen.add(`${key}.${event.seq}`)
        published.events.push(event)
        const numbers = published.series.get(key)
        if (numbers) numbers.push(event.seq)
        else published.series.set(key, [event.seq])
      }
    }
    if (message.info.pending === 0) break
  }
  return published
}

/** True where every series is 1, 2, 3 … in the order of the stream. */
export function areGapless(series: Published['series']): boolean {
  return [...series.values()].every(numbers => numbers.every((number, index) => number === index + 1))
}

/** What the events of a run say that each lease has settled in all. */
export function settledLeases(events: readonly UsageRecordedData[], gatewayId: string, epoch = 1): Map<string, number> {
  const own = events.filter(event => event.gateway_id === gatewayId && event.epoch === epoch)
  return new Map(own.flatMap(leaseTotalsOf))
}

/** What homes are told of each lease of a run. */
export function toldLeases(leases: readonly LeaseTotals[]): Map<string, number> {
  return new Map(leases.map((lease): [string, number] => [lease.lease_id, lease.settled_total]))
}

/** Marks of billing: everything that the stream holds is posted. */
export async function postAll(admin: NatsConnection): Promise<void> {
  const bus = busOf(admin)
  const marks = await openBucket(bus, 'marks', Mark)
  for (const [key, numbers] of (await readStream(admin)).series) {
    const last = Math.max(...numbers)
    await marks.put(key, { contiguous: last, last, updated_at_ms: Date.now() })
  }
}
