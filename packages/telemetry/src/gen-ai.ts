/**
 * OpenTelemetry's names for generative AI. Their status is Development: they change, and they change here alone.
 * Source: the repository `open-telemetry/semantic-conventions-genai`.
 */
export const genAiAttributes = {
  operationName: 'gen_ai.operation.name',
  providerName: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  responseId: 'gen_ai.response.id',
  finishReasons: 'gen_ai.response.finish_reasons',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadInputTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheCreationInputTokens: 'gen_ai.usage.cache_creation.input_tokens',
  reasoningOutputTokens: 'gen_ai.usage.reasoning.output_tokens',
  tokenType: 'gen_ai.token.type',
  errorType: 'error.type',
  httpStatus: 'http.response.status_code',
} as const

/** `gen_ai.operation.name` of our endpoints. */
export const genAiOperations = {
  chat: 'chat',
  embeddings: 'embeddings',
  textCompletion: 'text_completion',
  generateContent: 'generate_content',
} as const

/** Metric names as OpenTelemetry writes them; Prometheus replaces dots and appends the unit. */
export const genAiMetrics = {
  tokenUsage: {
    name: 'gen_ai.client.token.usage',
    prometheusName: 'gen_ai_client_token_usage',
    buckets: [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
  },
  operationDuration: {
    name: 'gen_ai.client.operation.duration',
    prometheusName: 'gen_ai_client_operation_duration_seconds',
    buckets: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  },
  timeToFirstChunk: {
    name: 'gen_ai.client.operation.time_to_first_chunk',
    prometheusName: 'gen_ai_client_operation_time_to_first_chunk_seconds',
    buckets: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  },
} as const
