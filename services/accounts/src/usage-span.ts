import { totalInputTokens, totalOutputTokens, type UsageRecordedData } from '@sluice/contracts'
import { genAiAttributes, genAiOperations } from '@sluice/telemetry'
import type { FinishedSpan } from '@sluice/telemetry/encode-spans'

/** Whether a call is among those of which spans are sent: the same for each of its attempts, whoever asks. */
export function isSampled(callId: string, ratio: number): boolean {
  return Number.parseInt(callId.slice(-8), 16) < ratio * 2 ** 32
}

/**
 * The span of an attempt, in the words of OpenTelemetry's GenAI conventions: who, what, how much. An event has no prompt and no
 * completion, so that a span has none. The same attempt has the same span, however often its event comes.
 */
export function toUsageSpan(event: UsageRecordedData): FinishedSpan {
  const { identity, quantities } = event
  const operation = operations[event.endpoint] ?? event.endpoint
  const cacheWrites =
    (quantities.in_cache_write_5m ?? 0) + (quantities.in_cache_write_1h ?? 0) + (quantities.in_cache_write_other ?? 0)
  const attributes = {
    [genAiAttributes.operationName]: operation,
    [genAiAttributes.providerName]: event.provider,
    [genAiAttributes.requestModel]: event.requested_model,
    [genAiAttributes.responseModel]: event.served_model,
    [genAiAttributes.responseId]: event.response_id,
    [genAiAttributes.finishReasons]: event.finish_reason === undefined ? undefined : [event.finish_reason],
    [genAiAttributes.inputTokens]: totalInputTokens(quantities),
    [genAiAttributes.outputTokens]: totalOutputTokens(quantities),
    [genAiAttributes.cacheReadInputTokens]: quantities.in_cache_read,
    [genAiAttributes.cacheCreationInputTokens]: cacheWrites === 0 ? undefined : cacheWrites,
    [genAiAttributes.reasoningOutputTokens]: quantities.out_reasoning,
    [genAiAttributes.httpStatus]: event.http_status,
    'sluice.call.id': event.call_id,
    'sluice.call.attempt': event.attempt,
    'sluice.call.status': event.status,
    'sluice.cost_nano_usd': event.cost_nano_usd,
    'sluice.project.id': identity.project_id,
    'sluice.team.id': identity.team_id,
    'sluice.member.id': identity.member_id,
    'sluice.service_account.id': identity.service_account_id,
    'sluice.key.id': identity.key_id,
    'sluice.room': identity.room,
    'sluice.app': event.claimed.app,
  }
  const known = Object.entries(attributes).filter(([, value]) => value !== undefined)
  return {
    call: {
      context: {
        traceId: event.call_id.replaceAll('-', ''),
        spanId: event.event_id.replaceAll('-', '').slice(-16),
        sampled: true,
      },
      parentSpanId: undefined,
    },
    finished: {
      name: `${operation} ${event.requested_model}`,
      kind: 'client',
      startedAtMs: event.admitted_at_ms,
      finishedAtMs: event.finished_at_ms,
      attributes: Object.fromEntries(known),
      ...(event.error_code === undefined ? {} : { errorType: event.error_code }),
    },
  }
}

const operations: Readonly<Record<string, string>> = {
  'chat.completions': genAiOperations.chat,
  responses: genAiOperations.chat,
  'responses.background': genAiOperations.chat,
  messages: genAiOperations.chat,
  embeddings: genAiOperations.embeddings,
}
