import {
  heldMoneyOf,
  type LineItem,
  type Quantities,
  totalInputTokens,
  totalOutputTokens,
  type UsageAdjustedData,
  type UsageRecordedData,
} from '@sluice/contracts'

/** 64-bit columns are read back as decimal text; both forms can be written. */
type Integer = number | string

/** A row of `usage_raw_v1`, column for column. What a column means and when it is empty stands in its SQL. */
export interface UsageRow {
  project_id: string
  event_id: string
  version: number
  call_id: string
  attempt: number
  gateway_id: string
  epoch: Integer
  partition: number
  seq: Integer
  stream_seq: Integer
  account_id: string
  team_id: string
  member_id: string
  service_account_id: string
  key_id: string
  room: string
  participant: string
  credential_kind: string
  app: string
  session_id: string
  agent_id: string
  parent_agent_id: string
  tags: Record<string, string>
  paid_by: string
  dialect: string
  endpoint: string
  streamed: boolean
  requested_model: string
  served_model: string
  model: string
  provider: string
  served_by: string
  provider_request_id: string
  response_id: string
  http_status: number
  status: string
  finish_reason: string
  error_code: string
  cut_reason: string
  cut_budget_id: string
  cut_copy: string
  /** `YYYY-MM-DD hh:mm:ss.mmm`, UTC. */
  admitted_at: string
  finished_at: string
  time_to_first_chunk_ms: Integer | null
  duration_ms: Integer
  overhead_us: Integer
  quantities: Record<string, Integer>
  provenance: Record<string, string>
  costs: Record<string, Integer>
  input_tokens: Integer
  output_tokens: Integer
  modifiers: string
  raw_usage: string
  doubts: string[]
  price_book_id: string
  override_price_book_id: string
  priced: boolean
  unpriced_policy: string
  assumed: boolean
  line_items: string
  cost_nano_usd: Integer
  held_money: string
  clamped_to: Integer
  clamped_budget_id: string
  clamped_copy: string
  settlement_key: string
  adjusted_reason: string
}

/** The row of an event as it was recorded: version 0. */
export function toUsageRow(event: UsageRecordedData, streamSeq: number): UsageRow {
  const { identity, claimed } = event
  return {
    project_id: identity.project_id,
    event_id: event.event_id,
    version: 0,
    call_id: event.call_id,
    attempt: event.attempt,
    gateway_id: event.gateway_id,
    epoch: event.epoch,
    partition: event.partition,
    seq: event.seq,
    stream_seq: streamSeq,
    account_id: identity.account_id,
    team_id: identity.team_id,
    member_id: identity.member_id ?? '',
    service_account_id: identity.service_account_id ?? '',
    key_id: identity.key_id ?? '',
    room: identity.room ?? '',
    participant: identity.participant ?? '',
    credential_kind: identity.credential_kind,
    app: claimed.app ?? '',
    session_id: claimed.session_id ?? '',
    agent_id: claimed.agent_id ?? '',
    parent_agent_id: claimed.parent_agent_id ?? '',
    tags: claimed.tags ?? {},
    paid_by: event.paid_by,
    dialect: event.dialect,
    endpoint: event.endpoint,
    streamed: event.streamed,
    requested_model: event.requested_model,
    served_model: event.served_model ?? '',
    model: event.served_model ?? event.requested_model,
    provider: event.provider,
    served_by: event.served_by,
    provider_request_id: event.provider_request_id ?? '',
    response_id: event.response_id ?? '',
    http_status: event.http_status,
    status: event.status,
    finish_reason: event.finish_reason ?? '',
    error_code: event.error_code ?? '',
    cut_reason: event.cut_by?.reason ?? '',
    cut_budget_id: event.cut_by?.budget_id ?? '',
    cut_copy: event.cut_by?.copy ?? '',
    admitted_at: toClickhouseTime(event.admitted_at_ms),
    finished_at: toClickhouseTime(event.finished_at_ms),
    time_to_first_chunk_ms: event.time_to_first_chunk_ms ?? null,
    duration_ms: event.duration_ms,
    overhead_us: event.overhead_us,
    provenance: event.provenance as Record<string, string>,
    modifiers: JSON.stringify(event.modifiers),
    raw_usage: JSON.stringify(event.raw_usage ?? null),
    doubts: event.doubts ?? [],
    override_price_book_id: event.override_price_book_id ?? '',
    priced: event.priced,
    unpriced_policy: event.unpriced_policy ?? '',
    held_money: writeHeldMoney(event),
    clamped_to: event.clamped?.to ?? 0,
    clamped_budget_id: event.clamped?.budget_id ?? '',
    clamped_copy: event.clamped?.copy ?? '',
    settlement_key: event.settlement_key ?? '',
    adjusted_reason: '',
    ...toTotals(event),
  }
}

/** What an attempt held of a copy of a hard budget. */
export type HeldMoney = [budgetId: string, copy: string, windowStartMs: number, held: number, settled: number | null]

/** Events of before name what they settled by leases alone. */
function writeHeldMoney(event: UsageRecordedData): string {
  const settled = new Map<string, number>()
  for (const [[budgetId, copy, windowStartMs], , parts] of event.drawn ?? [])
    settled.set(
      `${budgetId} ${copy} ${windowStartMs}`,
      parts.reduce((sum, [, amount]) => sum + amount, 0),
    )
  const money = heldMoneyOf(event).map(({ budget_id, copy, window_start_ms, amount }): HeldMoney => {
    return [budget_id, copy, window_start_ms, amount, settled.get(`${budget_id} ${copy} ${window_start_ms}`) ?? null]
  })
  return money.length === 0 ? '' : JSON.stringify(money)
}

/** What an attempt held of hard budgets. */
export function readHeldMoney({ held_money }: Pick<UsageRow, 'held_money'>): HeldMoney[] {
  return held_money === '' ? [] : (JSON.parse(held_money) as HeldMoney[])
}

/**
 * The row an adjustment makes of any earlier version of its event: who and what stay, the totals are new. The outcome is
 * the same whichever version it starts from.
 */
export function toAdjustedRow(base: UsageRow, adjusted: UsageAdjustedData, streamSeq: number): UsageRow {
  return {
    ...base,
    ...toTotals(adjusted),
    version: adjusted.version,
    stream_seq: streamSeq,
    adjusted_reason: adjusted.reason,
  }
}

interface Rated {
  quantities: Quantities
  line_items: readonly LineItem[]
  cost_nano_usd: number
  price_book_id: string
}

function toTotals(rated: Rated) {
  return {
    quantities: rated.quantities as Record<string, number>,
    costs: costByQuantity(rated),
    input_tokens: totalInputTokens(rated.quantities),
    output_tokens: totalOutputTokens(rated.quantities),
    price_book_id: rated.price_book_id,
    assumed: rated.line_items.some(line => line.assumed_from !== undefined),
    line_items: JSON.stringify(rated.line_items),
    cost_nano_usd: rated.cost_nano_usd,
  }
}

function costByQuantity(rated: Rated): Record<string, number> {
  const costs: Record<string, number> = {}
  let rest = rated.cost_nano_usd
  for (const line of rated.line_items) {
    costs[line.quantity_name] = (costs[line.quantity_name] ?? 0) + line.cost_nano_usd
    rest -= line.cost_nano_usd
  }
  // A report sums by quantity: what no line explains must not drop out of it.
  if (rest !== 0) costs.unattributed = (costs.unattributed ?? 0) + rest
  return costs
}

const firstMs = Date.UTC(2020, 0)
const endMs = Date.UTC(2100, 0)

/** Whether the tables take this time: outside 2020 to 2099 a clock is wrong, and partitions would be made for it. */
export function isPlausibleTime(ms: number): boolean {
  return ms >= firstMs && ms < endMs
}

/** `YYYY-MM-DD hh:mm:ss.mmm`, as a DateTime64(3, 'UTC') column reads and writes it. */
export function toClickhouseTime(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '')
}

/** The reverse of {@link toClickhouseTime}. */
export function fromClickhouseTime(text: string): number {
  return Date.parse(`${text.replace(' ', 'T')}Z`)
}

const hourMs = 3_600_000

/** Start of the hour of admission: the unit in which rollups are recomputed. */
export function hourOf(row: Pick<UsageRow, 'admitted_at'>): number {
  return Math.floor(fromClickhouseTime(row.admitted_at) / hourMs) * hourMs
}
