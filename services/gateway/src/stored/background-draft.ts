import { type BackgroundResponse, settlementEventId } from '@sluice/contracts'
import { type PriceBooks, type Rating, rate, ratedModel, ratedParts } from '@sluice/pricing'
import { freeUsage, fromResponse, type UsageResult } from '@sluice/usage'
import { doubtUsage } from '../doubt-usage.ts'
import type { UsageDraft } from '../journal/journal.ts'
import { heldFor } from '../leases/handed-money.ts'
import { estimateAsked, replyShapes } from '../reply-reader.ts'
import { readPicked } from '../shapes/read-json.ts'
import type { ToldResponse } from './response-object.ts'

/** Why a gateway ended a background response. */
export type CutReason = NonNullable<UsageDraft['cut_by']>

/**
 * The event of a response that was made in the background. Pure: whoever settles it, and however often, makes the same
 * event under the same id. It is its maker's, counts in the window of its admission and is rated at the books of then.
 * @param told undefined: the provider no longer has it, so that its input counts, estimated
 */
export function draftOfBackground(
  job: BackgroundResponse,
  told: ToldResponse | undefined,
  books: PriceBooks | undefined,
  ended: { finishedAtMs: number; cutBy?: CutReason | undefined },
): UsageDraft {
  const { usage, doubts } = judge(job, told)
  const rated = books && rateJob(job, usage, books)
  const { identity, claimed, admitted_at_ms } = job
  const finishedAtMs = Math.max(ended.finishedAtMs, admitted_at_ms)
  const errorCode = told === undefined ? 'response_lost' : told.status === 'failed' ? 'provider_failed' : undefined
  return {
    event_id: settlementEventId(identity.project_id, job.response_id),
    settlement_key: job.response_id,
    // The second event of the call that made it: the first one is of the asking alone.
    call_id: job.call_id,
    attempt: 2,
    identity,
    claimed,
    paid_by: job.paid_by,
    dialect: 'openai',
    endpoint: 'responses.background',
    streamed: job.streamed,
    requested_model: job.requested_model,
    provider: 'openai',
    served_by: job.served_by,
    response_id: job.response_id,
    http_status: told === undefined ? 404 : 200,
    status: statusOf(told, ended.cutBy),
    admitted_at_ms,
    finished_at_ms: finishedAtMs,
    duration_ms: finishedAtMs - admitted_at_ms,
    overhead_us: 0,
    quantities: usage.quantities,
    provenance: usage.provenance,
    modifiers: usage.modifiers,
    raw_usage: usage.raw_usage,
    price_book_id: job.price_book_id,
    ...(job.override_price_book_id === undefined ? {} : { override_price_book_id: job.override_price_book_id }),
    ...(job.unpriced_policy && { unpriced_policy: job.unpriced_policy }),
    priced: rated?.priced ?? false,
    line_items: rated?.line_items ?? [],
    cost_nano_usd: rated?.cost_nano_usd ?? 0,
    ...(rated?.assumed && { assumed: true }),
    leases: [],
    held: heldFor(job.held, job.requested_model),
    ...(doubts.length > 0 && { doubts }),
    ...(usage.served_model === undefined ? {} : { served_model: usage.served_model }),
    ...(usage.finish_reason === undefined ? {} : { finish_reason: usage.finish_reason }),
    ...(errorCode === undefined ? {} : { error_code: errorCode }),
    ...(ended.cutBy && { cut_by: ended.cutBy }),
  }
}

function rateJob(job: BackgroundResponse, usage: UsageResult, books: PriceBooks): Rating {
  const model = ratedModel(books, 'openai', job.requested_model, usage.served_model)
  return rate(books, {
    provider: 'openai',
    model,
    quantities: usage.quantities,
    modifiers: usage.modifiers,
    parts: ratedParts(usage.parts, usage.served_model, model),
    assumeDearest: job.unpriced_policy === 'assume_max',
  })
}

function statusOf(told: ToldResponse | undefined, cutBy: CutReason | undefined): UsageDraft['status'] {
  if (cutBy) return 'cut'
  if (!told || told.status === 'failed') return 'failed'
  return told.status === 'cancelled' ? 'aborted' : 'completed'
}

function judge(job: BackgroundResponse, told: ToldResponse | undefined): ReturnType<typeof doubtUsage> {
  const call = {
    endpoint: { shape: 'responses' as const, free: false },
    asked: undefined,
    estimatedInputTokens: job.estimated_input_tokens,
  }
  if (!told) return { usage: estimateAsked(call), doubts: ['usage_missing'] }
  const usage = readUsage(job, told)
  return doubtUsage(call, usage, { outputBytes: usage.outputBytes ?? 0, whole: told.status === 'completed' })
}

/** What has failed or was stopped before it said a word, and tells no usage, has cost nothing. */
function readUsage(job: BackgroundResponse, { object, status, said }: ToldResponse): UsageResult {
  const saidNothing = !Array.isArray(object.output) || object.output.length === 0
  if ((object.usage ?? null) === null && saidNothing && status !== 'completed')
    return { ...freeUsage(), finish_reason: status }
  const facts = { inputTokens: job.estimated_input_tokens, asked: undefined }
  if (said)
    return readPicked({ parsed: object, text: said }, { ...facts, wholeBytes: said.bytes }, { convert: fromResponse })
  const body = Buffer.from(JSON.stringify(object))
  return replyShapes.responses.read(body, {
    ...facts,
    wholeBytes: body.length,
    isWhole: true,
    contentType: 'application/json',
  })
}
