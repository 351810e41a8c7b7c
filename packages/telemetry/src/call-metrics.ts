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

type Observe = (value: number) => void

/** The histograms of one kind of call, their labels resolved once. */
interface BoundMetrics {
  duration: Observe
  firstChunk: Observe
  inputTokens: Observe
  outputTokens: Observe
}

/** Few, since labels take values from small sets. */
const boundMetrics = new Map<string, BoundMetrics>()

function bind(operation: string, provider: string, model: string, errorType: string): BoundMetrics {
  return {
    duration: durations.labels(operation, provider, model, errorType).observe,
    firstChunk: firstChunks.labels(operation, provider, model).observe,
    inputTokens: tokens.labels(operation, provider, model, 'input').observe,
    outputTokens: tokens.labels(operation, provider, model, 'output').observe,
  }
}

/** Counts one attempt: less than a microsecond. */
export function measureCall(call: CallMeasurement): void {
  const { operation, provider, model, errorType = '' } = call
  const key = `${operation} ${provider} ${model} ${errorType}`
  let bound = boundMetrics.get(key)
  if (!bound) {
    bound = bind(operation, provider, model, errorType)
    boundMetrics.set(key, bound)
  }
  bound.duration(call.durationSeconds)
  if (call.timeToFirstChunkSeconds !== undefined) bound.firstChunk(call.timeToFirstChunkSeconds)
  if (call.inputTokens !== undefined) bound.inputTokens(call.inputTokens)
  if (call.outputTokens !== undefined) bound.outputTokens(call.outputTokens)
}
