import { randomUUID } from 'node:crypto'
import { type Bus, cloudEventHeaders } from '@sluice/bus'
import {
  type CallIdentity,
  partitionOf,
  rangeId,
  rangeToHeaders,
  type SeriesRange,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import { publishStored } from './publish-stored.ts'

/** What a test says of a usage event; the rest is that of a small finished call. */
export type UsageOverrides = Partial<Omit<UsageRecordedData, 'identity'>> & { identity?: Partial<CallIdentity> }

/**
 * A valid event: one finished chat completion of a project (a new one unless `identity.project_id` names it), 100 tokens in,
 * 20 out, 1,000,000 nano-USD. Partition follows the project; series fields are set anew by {@link publishUsage}.
 */
export function makeUsageEvent(overrides: UsageOverrides = {}): UsageRecordedData {
  const { identity: who, ...rest } = overrides
  const identity: CallIdentity = {
    account_id: 'acct_test',
    project_id: randomUUID(),
    team_id: 'unassigned',
    credential_kind: 'key',
    ...who,
  }
  const admitted = overrides.admitted_at_ms ?? Date.now()
  const quantities = overrides.quantities ?? { in_text: 100, out_text: 20 }
  const cost = overrides.cost_nano_usd ?? 1_000_000
  return {
    event_id: randomUUID(),
    call_id: randomUUID(),
    attempt: 1,
    gateway_id: 'gw_test',
    epoch: 1,
    partition: partitionOf(identity.project_id),
    seq: 1,
    identity,
    claimed: {},
    paid_by: 'managed',
    dialect: 'openai',
    endpoint: 'chat.completions',
    streamed: false,
    requested_model: 'gpt-4o-mini',
    served_model: 'gpt-4o-mini',
    provider: 'openai',
    served_by: 'simulator',
    http_status: 200,
    status: 'completed',
    admitted_at_ms: admitted,
    finished_at_ms: admitted + 250,
    duration_ms: 250,
    overhead_us: 400,
    quantities,
    provenance: Object.fromEntries(Object.keys(quantities).map(name => [name, 'measured'])),
    modifiers: {},
    raw_usage: null,
    price_book_id: 'book_test',
    priced: true,
    line_items: [
      { quantity_name: 'in_text', quantity: 1_000_000, rate_nano_usd_per_million: cost, cost_nano_usd: cost },
    ],
    cost_nano_usd: cost,
    leases: [],
    held: [],
    ...rest,
  }
}

/**
 * Publishes `first..last` of a series as one message, as a gateway does: the range in the headers, an event a line.
 * `events` are those of the range in order; their series fields are set to it. Resolves when the stream has stored it.
 * @returns the events as they were sent
 */
export async function publishUsage(
  bus: Pick<Bus, 'connection'>,
  range: SeriesRange,
  events: readonly UsageRecordedData[],
): Promise<UsageRecordedData[]> {
  if (events.length !== range.last - range.first + 1)
    throw new Error(`range ${rangeId(range)} names ${range.last - range.first + 1} events, got ${events.length}`)
  const sent = events.map((event, index) => ({
    ...event,
    gateway_id: range.gatewayId,
    epoch: range.epoch,
    partition: range.partition,
    seq: range.first + index,
  }))
  const body = sent.map(event => `${UsageRecorded.encode(event)}\n`).join('')
  await publishUsageBody(bus, range, body)
  return sent
}

/** Publishes a message with this range in its headers and any body: for what a consumer cannot decode. */
export async function publishUsageBody(bus: Pick<Bus, 'connection'>, range: SeriesRange, body: string): Promise<void> {
  const headers = cloudEventHeaders(
    {
      id: rangeId(range),
      source: `/gateway/${range.gatewayId}`,
      type: UsageRecorded.type,
      timeMs: Date.now(),
    },
    'application/x-ndjson',
  )
  for (const [name, value] of rangeToHeaders(range)) headers.set(name, value)
  await publishStored(bus.connection, UsageRecorded.subject(range.partition), body, headers)
}
