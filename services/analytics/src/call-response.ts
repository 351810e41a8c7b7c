import { noProject, type RefusedRow } from './refused-row.ts'
import { fromClickhouseTime, type UsageRow } from './usage-row.ts'

const orNull = (text: string): string | null => (text === '' ? null : text)
const toNumbers = (map: Record<string, number | string>): Record<string, number> =>
  Object.fromEntries(Object.entries(map).map(([name, value]) => [name, Number(value)]))
const toIso = (time: string): string => new Date(fromClickhouseTime(time)).toISOString()

/** An attempt as routes answer it. Money is decimal text; what was not said is null. */
export function toAttemptResponse(row: UsageRow) {
  return {
    event_id: row.event_id,
    version: row.version,
    call_id: row.call_id,
    attempt: row.attempt,
    ...toDimensions(row),
    paid_by: row.paid_by,
    dialect: row.dialect,
    endpoint: row.endpoint,
    streamed: row.streamed,
    requested_model: row.requested_model,
    served_model: orNull(row.served_model),
    model: row.model,
    provider: row.provider,
    served_by: row.served_by,
    provider_request_id: orNull(row.provider_request_id),
    response_id: orNull(row.response_id),
    http_status: row.http_status,
    status: row.status,
    finish_reason: orNull(row.finish_reason),
    error_code: orNull(row.error_code),
    cut_by:
      row.cut_reason === ''
        ? null
        : { reason: row.cut_reason, budget_id: orNull(row.cut_budget_id), copy: orNull(row.cut_copy) },
    clamped:
      Number(row.clamped_to) === 0
        ? null
        : { to: Number(row.clamped_to), budget_id: orNull(row.clamped_budget_id), copy: orNull(row.clamped_copy) },
    admitted_at: toIso(row.admitted_at),
    finished_at: toIso(row.finished_at),
    time_to_first_chunk_ms: row.time_to_first_chunk_ms === null ? null : Number(row.time_to_first_chunk_ms),
    duration_ms: Number(row.duration_ms),
    overhead_us: Number(row.overhead_us),
    quantities: toNumbers(row.quantities),
    provenance: row.provenance,
    input_tokens: Number(row.input_tokens),
    output_tokens: Number(row.output_tokens),
    modifiers: JSON.parse(row.modifiers) as unknown,
    raw_usage: JSON.parse(row.raw_usage) as unknown,
    doubts: row.doubts,
    price_book_id: row.price_book_id,
    override_price_book_id: orNull(row.override_price_book_id),
    priced: row.priced,
    unpriced_policy: orNull(row.unpriced_policy),
    assumed: row.assumed,
    line_items: JSON.parse(row.line_items) as unknown,
    cost_nano_usd: String(row.cost_nano_usd),
    adjusted_reason: orNull(row.adjusted_reason),
    gateway_id: row.gateway_id,
    epoch: Number(row.epoch),
    partition: row.partition,
    seq: Number(row.seq),
  }
}

/** A refusal as routes answer it. */
export function toRefusalResponse(row: RefusedRow) {
  return {
    call_id: row.call_id,
    ...toDimensions(row),
    dialect: row.dialect,
    endpoint: orNull(row.endpoint),
    requested_model: orNull(row.requested_model),
    reason: row.reason,
    http_status: row.http_status,
    message: orNull(row.message),
    budget: JSON.parse(row.budget) as unknown,
    stop_id: orNull(row.stop_id),
    count: Number(row.count),
    refused_at: toIso(row.refused_at),
    gateway_id: row.gateway_id,
  }
}

function toDimensions(row: UsageRow | RefusedRow) {
  return {
    account_id: orNull(row.account_id),
    project_id: row.project_id === noProject ? null : row.project_id,
    team_id: orNull(row.team_id),
    member_id: orNull(row.member_id),
    service_account_id: orNull(row.service_account_id),
    key_id: orNull(row.key_id),
    room: orNull(row.room),
    participant: orNull(row.participant),
    credential_kind: orNull(row.credential_kind),
    app: orNull(row.app),
    session_id: orNull(row.session_id),
    agent_id: orNull(row.agent_id),
    parent_agent_id: orNull(row.parent_agent_id),
    tags: row.tags,
  }
}
