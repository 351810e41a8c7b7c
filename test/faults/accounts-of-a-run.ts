import { zstdDecompressSync } from 'node:zlib'
import type { UsageRecordedData } from '@sluice/contracts'
import type { TestStack } from '@sluice/test-env'
import pg from 'pg'
import type { RunStack } from './scenario.ts'

/** A row of billing's usage log. */
export interface LoggedEvent {
  eventId: string
  callId: string
  attempt: number
  status: UsageRecordedData['status']
  providerRequestId: string | undefined
  costNanoUsd: number
  estimated: boolean
}

/** What the ledger has posted for a project. */
export interface LedgerTotal {
  events: number
  costNanoUsd: bigint
}

/** A row of ClickHouse. */
export interface AnalyticsRow {
  eventId: string
  costNanoUsd: number
}

/** A line of the provider's own bill. */
export interface BillLine {
  id: string
  ended: string
  costNanoUsd: number
}

/** Reads billing's record of every batch, and what the ledger made of it: of one project, or of all. */
export async function readLedger(
  stack: TestStack,
  projectId?: string,
): Promise<{ events: LoggedEvent[]; total: LedgerTotal }> {
  const events = await readUsageLog(stack, projectId)
  return { events: events.map(toLoggedEvent), total: await sumLedger(stack, projectId) }
}

/** Of each database of billing, what its log was seen to hold: a batch that stands there stays as it is. */
const logsSeen = new Map<string, Map<string, UsageRecordedData[]>>()

/** Reads billing's usage log, event by event, as gateways wrote them: of one project, or of all. */
export async function readUsageLog(stack: TestStack, projectId?: string): Promise<UsageRecordedData[]> {
  const url = stack.databaseUrls.billing
  const seen = logsSeen.get(url) ?? new Map<string, UsageRecordedData[]>()
  logsSeen.set(url, seen)
  const batches = await poolOf(url).query<{ batch_id: string; content: Buffer | null }>(
    `select batch_id, case when batch_id <> all($1::bigint[]) then content end as content
      from billing.usage_batches order by batch_id`,
    [[...seen.keys()]],
  )
  return batches.rows.flatMap(({ batch_id, content }) => {
    const events = content === null ? (seen.get(batch_id) ?? []) : readBatch(content)
    seen.set(batch_id, events)
    return projectId === undefined ? events : events.filter(event => event.identity.project_id === projectId)
  })
}

function readBatch(content: Buffer): UsageRecordedData[] {
  const lines = zstdDecompressSync(content).toString().split('\n')
  return lines.filter(line => line !== '').map(line => JSON.parse(line) as UsageRecordedData)
}

/** How many events the ledger has posted for the project of a run. */
export async function countPosted(stack: TestStack): Promise<number> {
  return (await sumLedger(stack, stack.projectId)).events
}

async function sumLedger(stack: TestStack, projectId?: string): Promise<LedgerTotal> {
  const sums = await poolOf(stack.databaseUrls.billing).query<{ events: string; cost: string }>(
    `select coalesce(sum(event_count), 0)::text events, coalesce(sum(cost_nano_usd), 0)::text cost
      from billing.ledger_transactions where $1::uuid is null or project_id = $1`,
    [projectId ?? null],
  )
  const { events = '0', cost = '0' } = sums.rows[0] ?? {}
  return { events: Number(events), costNanoUsd: BigInt(cost) }
}

const pools = new Map<string, pg.Pool>()

/** Views are read again and again: a connection for each time would be most of the work. */
function poolOf(url: string): pg.Pool {
  const known = pools.get(url)
  if (known !== undefined) return known
  const pool = new pg.Pool({ connectionString: url, max: 2, idleTimeoutMillis: 2_000, allowExitOnIdle: true })
  // Its server may be killed: whoever asks next is told.
  pool.on('error', () => {})
  pools.set(url, pool)
  return pool
}

function toLoggedEvent(event: UsageRecordedData): LoggedEvent {
  return {
    eventId: event.event_id,
    callId: event.call_id,
    attempt: event.attempt,
    status: event.status,
    providerRequestId: event.provider_request_id,
    costNanoUsd: event.cost_nano_usd,
    estimated: Object.values(event.provenance).includes('estimated'),
  }
}

/** Reads every usage row of the project through the public API, page by page. */
export async function readAnalytics(stack: TestStack): Promise<AnalyticsRow[]> {
  const rows: AnalyticsRow[] = []
  let token: string | null = null
  do {
    const url = new URL(`${stack.url}/accounts/projects/${stack.projectId}/usage/events?page_size=500`)
    if (token !== null) url.searchParams.set('continuation_token', token)
    const response = await fetch(url, { headers: { authorization: `Bearer ${stack.apiKey}` } })
    if (!response.ok) throw new Error(`usage events: ${response.status} ${await response.text()}`)
    const page = (await response.json()) as {
      events: { event_id: string; cost_nano_usd: string }[]
      continuation_token: string | null
    }
    rows.push(...page.events.map(event => ({ eventId: event.event_id, costNanoUsd: Number(event.cost_nano_usd) })))
    token = page.continuation_token
  } while (token !== null)
  return rows
}

/** Reads the simulator's bill: what a provider would charge for the run. Calls that it refused are not on it. */
export async function readBill(stack: TestStack & Partial<Pick<RunStack, 'billedBefore'>>): Promise<BillLine[]> {
  const response = await fetch(`${stack.simulatorUrl}/simulator/bill`)
  const { records } = (await response.json()) as {
    records: { bill_id: string; ended: string; http_status: number | null; cost_nano_usd: number }[]
  }
  return records
    .filter(record => record.http_status === 200 && !stack.billedBefore?.has(record.bill_id))
    .map(record => ({ id: record.bill_id, ended: record.ended, costNanoUsd: record.cost_nano_usd }))
}
