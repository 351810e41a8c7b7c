import type { HistogramSeries } from './direct-histogram.ts'
import { genAiMetrics } from './gen-ai.ts'
import { directHistogram } from './metrics.ts'

/** One attempt at a provider, as its metrics see it. Every text must come from a small set: never a client's own. */
export interface CallMeasurement {
  /** `chat`, `embeddings`, … */
  operation: string
  provider: string
  /** A model of the catalogue; `other` for one that is not in it. */
  model: string
  durationSeconds: number
  timeToFirstChunkSeconds?: number | undefined
  /** Absent where nothing was metered. */
  inputTokens?: number | undefined
  outputTokens?: number | undefined
  /** A stable code. Absent: it went well. */
  errorType?: string | undefined
}

const labelNames = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'] as const

const durations = directHistogram(genAiMetrics.operationDuration.prometheusName, 'Duration of calls to providers', {
  labelNames: [...labelNames, 'error_type'],
  buckets: genAiMetrics.operationDuration.buckets,
})
const firstChunks = directHistogram(
  genAiMetrics.timeToFirstChunk.prometheusName,
  'Time to the first chunk of streams',
  {
    labelNames,
    buckets: genAiMetrics.timeToFirstChunk.buckets,
  },
)
const tokens = directHistogram(genAiMetrics.tokenUsage.prometheusName, 'Tokens of a call, by type', {
  labelNames: [...labelNames, 'gen_ai_token_type'],
  buckets: genAiMetrics.tokenUsage.buckets,
})

/** The series of one kind of call. */
interface BoundMetrics {
  duration: HistogramSeries
  firstChunk: HistogramSeries
  inputTokens: HistogramSeries
  outputTokens: HistogramSeries
}

/** Few, since labels take values from small sets. */
const boundMetrics = new Map<string, BoundMetrics>()

function bind(operation: string, provider: string, model: string, errorType: string): BoundMetrics {
  return {
    duration: durations.bind(operation, provider, model, errorType),
    firstChunk: firstChunks.bind(operation, provider, model),
    inputTokens: tokens.bind(operation, provider, model, 'input'),
    outputTokens: tokens.bind(operation, provider, model, 'output'),
  }
}

interface Kind {
  operation: string
  provider: string
  model: string
  errorType: string
  bound: BoundMetrics
}

/** Most calls are of the kind of the one before. */
let lastKind: Kind | undefined

function boundMetricsOf({ operation, provider, model, errorType = '' }: CallMeasurement): BoundMetrics {
  if (
    lastKind?.model === model &&
    lastKind.operation === operation &&
    lastKind.provider === provider &&
    lastKind.errorType === errorType
  )
    return lastKind.bound
  const key = `${operation} ${provider} ${model} ${errorType}`
  let bound = boundMetrics.get(key)
  if (!bound) {
    bound = bind(operation, provider, model, errorType)
    boundMetrics.set(key, bound)
  }
  lastKind = { operation, provider, model, errorType, bound }
  return bound
}

/** Counts one attempt: less than a microsecond. */
export function measureCall(call: CallMeasurement): void {
  const bound = boundMetricsOf(call)
  bound.duration.observe(call.durationSeconds)
  if (call.timeToFirstChunkSeconds !== undefined) bound.firstChunk.observe(call.timeToFirstChunkSeconds)
  if (call.inputTokens !== undefined) bound.inputTokens.observe(call.inputTokens)
  if (call.outputTokens !== undefined) bound.outputTokens.observe(call.outputTokens)
}
