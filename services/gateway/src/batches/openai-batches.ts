import {
  chatCompletionMembers,
  embeddingMembers,
  fromChatCompletion,
  fromEmbedding,
  fromResponse,
  type PickedMembers,
  responseMembers,
  type UsageResult,
} from '@sluice/usage'
import type { ReplyShapeName } from '../reply-reader.ts'
import type { BatchDialect } from './batch-dialect.ts'

/** What OpenAI's batches may be for here: the paths whose replies tell what they used. */
export const batchTargets: Readonly<
  Record<string, { shape: ReplyShapeName; convert: (body: unknown) => UsageResult; members: PickedMembers }>
> = {
  '/v1/chat/completions': { shape: 'chat', convert: fromChatCompletion, members: chatCompletionMembers },
  '/v1/responses': { shape: 'responses', convert: fromResponse, members: responseMembers },
  '/v1/embeddings': { shape: 'embeddings', convert: fromEmbedding, members: embeddingMembers },
}

const pageSize = 100
const endedStatuses: ReadonlySet<unknown> = new Set(['completed', 'failed', 'expired', 'cancelled'])
const maxErrorCode = 64

/** OpenAI's batches: made of a file of requests, answered in a file of results and a file of errors. */
export const openaiBatches: BatchDialect = {
  headers: [],
  objectPath: batchId => `/batches/${batchId}`,
  listPath: after => `/batches?limit=${pageSize}${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`,
  listing: { after: 'after', before: undefined, maxLimit: pageSize },
  resultPaths: ({ resultFileIds }) => resultFileIds.map(id => `/files/${encodeURIComponent(id)}/content`),
  readStanding(object) {
    const batch = membersOf(object)
    const { id, status, created_at, request_counts, input_file_id } = batch
    if (typeof id !== 'string' || id === '' || id.length > 256) return undefined
    const { total, completed, failed } = membersOf(request_counts)
    const ended = endedStatuses.has(status)
    const endedAt = batch.completed_at ?? batch.expired_at ?? batch.cancelled_at ?? batch.failed_at
    return {
      id,
      createdAtMs: readTime(created_at),
      ended,
      endedAtMs: readTime(endedAt),
      // Requests that a cancellation has left undone have no line anywhere.
      requestCount: ended ? sum(completed, failed) : sum(total, 0),
      targetEndpoint: typeof batch.endpoint === 'string' ? batch.endpoint : undefined,
      inputFileId: typeof input_file_id === 'string' ? input_file_id : undefined,
      resultFileIds: [batch.output_file_id, batch.error_file_id].filter(
        (file): file is string => typeof file === 'string' && file !== '',
      ),
    }
  },
  resultLine(targetEndpoint = '') {
    const { shape, members } = batchTargets[targetEndpoint] ?? { shape: 'chat', members: chatCompletionMembers }
    return {
      shape,
      members: {
        members: {
          custom_id: 'whole',
          response: { members: { status_code: 'whole', body: members } },
          error: { members: { code: 'whole' } },
        },
      },
    }
  },
  readResult(line, targetEndpoint = '') {
    const { custom_id, response, error } = membersOf(line)
    const { status_code, body } = membersOf(response)
    const target = batchTargets[targetEndpoint]
    if (typeof custom_id !== 'string' || !target || (response == null && error == null))
      throw new Error('the line is no result')
    const status = typeof status_code === 'number' ? status_code : 0
    const succeeded = status >= 200 && status < 300
    const usage = succeeded ? target.convert(body) : undefined
    const { code } = membersOf(error)
    return {
      customId: custom_id,
      outcome: succeeded ? 'succeeded' : code === 'batch_expired' ? 'expired' : 'errored',
      usage: usage && { ...usage, modifiers: { ...usage.modifiers, batch: true } },
      shape: target.shape,
      reply: body,
      httpStatus: status,
      errorCode: succeeded ? undefined : errorCodeOf(code, status),
    }
  },
}

function errorCodeOf(code: unknown, status: number): string {
  if (typeof code === 'string' && /^[\w.-]+$/.test(code) && code.length <= maxErrorCode) return code
  return status > 0 ? `provider_${status}` : 'batch_errored'
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function sum(a: unknown, b: unknown): number | undefined {
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) ? Number(a) + Number(b) : undefined
}

/** Seconds. */
function readTime(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) * 1000 : undefined
}
