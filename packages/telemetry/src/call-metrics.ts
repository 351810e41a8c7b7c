import { genAiMetrics } from './gen-ai.ts'
import { histogram } from './metrics.ts'

/** One attempt at a provider, as its metrics see it. Every text must come from a small set: never a client's own. */
export interface CallMeasurement {
  /** `chat`, `embeddings`, … */
  operation: string
  provider: string
  /** A model of the catalogue; `other` for one that is not in it. */
  model: string
  durationSeconds: number
  timeToFirstChunkSeconds?: number
  /** Absent where nothing was metered. */
  inputTokens?: number
  outputTokens?: number
  /** A stable code. Absent: it went well. */
  errorType?: string
}

const labelNames = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'] as const

const durations = histogram(genAiMetrics.operationDuration.prometheusName, 'Duration of calls to providers', {
  labelNames: [...labelNames, 'error_type'],
  buckets: genAiMetrics.operationDuration.buckets,
})
const firstChunks = histogram(genAiMetrics.timeToFirstChunk.prometheusName, 'Time to the first chunk of streams', {
  labelNames,
  buckets: genAiMetrics.timeToFirstChunk.buckets,
})
const tokens = histogram(genAiMetrics.tokenUsage.prometheusName, 'Tokens of a call, by type', {
  labelNames: [...labelNames, 'gen_ai_token_type'],
  buckets: genAiMetrics.tokenUsage.buckets,
})

/** Counts one attempt: about a microsecond. */
export function measureCall(call: CallMeasurement): void {
  const { operation, provider, model } = call
  durations.labels(operation, provider, model, call.errorType ?? '').observe(call.durationSeconds)
  if (call.timeToFirstChunkSeconds !== undefined)
    firstChunks.labels(operation, provider, model).observe(call.timeToFirstChunkSeconds)
  if (call.inputTokens !== undefined) tokens.labels(operation, provider, model, 'input').observe(call.inputTokens)
  if (call.outputTokens !== undefined) tokens.labels(operation, provider, model, 'output').observe(call.outputTokens)
}
