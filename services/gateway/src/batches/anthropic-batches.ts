import { fromBatchResult, messageMembers } from '@sluice/usage'
import type { BatchDialect } from './batch-dialect.ts'

const pageSize = 1000
const outcomes: ReadonlySet<string> = new Set(['succeeded', 'errored', 'canceled', 'expired'])

/** Anthropic's message batches: one object, its results as JSON lines. */
export const anthropicBatches: BatchDialect = {
  headers: ['anthropic-version', '2023-06-01'],
  objectPath: batchId => `/v1/messages/batches/${batchId}`,
  listPath: after =>
    `/v1/messages/batches?limit=${pageSize}${after === undefined ? '' : `&after_id=${encodeURIComponent(after)}`}`,
  listing: { after: 'after_id', before: 'before_id', maxLimit: pageSize },
  resultPaths: ({ id }) => [`/v1/messages/batches/${id}/results`],
  readStanding(object) {
    const { id, processing_status, created_at, ended_at, request_counts } = membersOf(object)
    if (typeof id !== 'string' || id === '' || id.length > 256) return undefined
    const counts = Object.values(membersOf(request_counts))
    const known = counts.length > 0 && counts.every(count => Number.isSafeInteger(count))
    return {
      id,
      createdAtMs: readTime(created_at),
      ended: processing_status === 'ended',
      endedAtMs: readTime(ended_at),
      requestCount: known ? (counts as number[]).reduce((sum, count) => sum + count, 0) : undefined,
      inputFileId: undefined,
      targetEndpoint: undefined,
      resultFileIds: [],
    }
  },
  resultLine: () => ({
    shape: 'messages',
    members: {
      members: { custom_id: 'whole', result: { members: { type: 'whole', message: messageMembers } } },
    },
  }),
  readResult(line) {
    const { custom_id, result } = membersOf(line)
    const { type, message } = membersOf(result)
    if (typeof custom_id !== 'string' || typeof type !== 'string' || !outcomes.has(type))
      throw new Error('the line is no result')
    const succeeded = type === 'succeeded'
    return {
      customId: custom_id,
      outcome: type,
      usage: succeeded ? fromBatchResult(line) : undefined,
      shape: 'messages',
      reply: message,
      httpStatus: succeeded ? 200 : 0,
      errorCode: succeeded ? undefined : `batch_${type}`,
    }
  },
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function readTime(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) || ms < 0 ? undefined : ms
}
