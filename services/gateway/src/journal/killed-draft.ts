import type { QuantityName, QuantityProvenance } from '@sluice/contracts'
import type { CheckpointRecord, OpeningRecord, UnratedDraft } from './open-record.ts'

/**
 * The event of an attempt whose gateway died. With a checkpoint, what it says; without one, nothing was relayed: the
 * estimated input counts, since the request may have been sent, and no output.
 */
export function killedDraft(open: OpeningRecord, checkpoint: CheckpointRecord | undefined): UnratedDraft {
  const { estimated_input, asked_modifiers = {}, in_call, holds: _, row: __, holder: ___, ...admitted } = open
  const responseId = checkpoint?.response_id ?? in_call?.turn_id
  const finishedAtMs = Math.max(checkpoint?.at_ms ?? 0, open.admitted_at_ms)
  return {
    ...admitted,
    ...(checkpoint?.served_model === undefined ? {} : { served_model: checkpoint.served_model }),
    ...(responseId === undefined ? {} : { response_id: responseId }),
    ...(checkpoint?.provider_request_id === undefined ? {} : { provider_request_id: checkpoint.provider_request_id }),
    http_status: checkpoint?.http_status ?? 0,
    status: 'killed',
    error_code: 'gateway_killed',
    finished_at_ms: finishedAtMs,
    duration_ms: finishedAtMs - open.admitted_at_ms,
    overhead_us: 0,
    quantities: checkpoint?.quantities ?? estimated_input,
    provenance: checkpoint?.provenance ?? allEstimated(estimated_input),
    modifiers: checkpoint?.modifiers ?? asked_modifiers,
    raw_usage: null,
  }
}

function allEstimated(quantities: object): QuantityProvenance {
  const names = Object.keys(quantities) as QuantityName[]
  return Object.fromEntries(names.map(name => [name, 'estimated' as const]))
}
