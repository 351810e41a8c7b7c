import { type BatchJob, settlementEventId } from '@sluice/contracts'
import { type PriceBooks, rate, ratedModel, ratedParts } from '@sluice/pricing'
import { freeUsage, type UsageResult } from '@sluice/usage'
import { doubtUsage } from '../doubt-usage.ts'
import type { UsageDraft } from '../journal/journal.ts'
import { heldFor } from '../leases/handed-money.ts'
import { replyShapes } from '../reply-reader.ts'
import { readPicked } from '../shapes/read-json.ts'
import type { BatchResult } from './batch-dialect.ts'

/** A batch whose creator is known. */
export type OwnedBatch = BatchJob & { batch_id: string; creator: NonNullable<BatchJob['creator']> }

export function isOwned(job: BatchJob): job is OwnedBatch {
  return job.batch_id !== undefined && job.creator !== undefined
}

/**
 * The event of one result. Pure: whoever settles it, and however often, makes the same event under the same id. It is the
 * creator's, counts in the window of the creation, and is rated at the books of the creation, as a batch.
 */
export function draftOfResult(
  job: OwnedBatch,
  result: BatchResult,
  books: PriceBooks | undefined,
  finishedAtMs: number,
): UsageDraft {
  const { creator, dialect } = job
  const settlementKey =
    result.customId === undefined ? `${job.batch_id}#${result.place}` : `${job.batch_id}/${result.customId}`
  const eventId = settlementEventId(creator.identity.project_id, settlementKey)
  const succeeded = result.usage !== undefined
  const told = result.usage ? withEstimates(job, result, result.usage) : freeUsage()
  const { usage, doubts } = doubtUsage(
    {
      endpoint: { shape: result.shape, free: !succeeded },
      asked: undefined,
      estimatedInputTokens: creator.estimated_input_tokens,
    },
    told,
    { outputBytes: told.outputBytes ?? 0, whole: succeeded },
  )
  const assumesMax = creator.unpriced_policy === 'assume_max'
  const rateAs = (asked: string) => {
    if (!books) return undefined
    const model = ratedModel(books, dialect, asked, usage.served_model)
    return rate(books, {
      provider: dialect,
      model,
      quantities: usage.quantities,
      modifiers: usage.modifiers,
      parts: ratedParts(usage.parts, usage.served_model, model),
      assumeDearest: assumesMax,
    })
  }
  // What cannot be read names no model: of those asked for it is taken to be the dearest.
  const candidates =
    result.outcome === 'unreadable' && creator.models.length > 0
      ? creator.models
      : [modelOf(creator.models, usage.served_model)]
  const [dearest] = candidates
    .map(model => ({ model, rated: rateAs(model) }))
    .sort((a, b) => (b.rated?.cost_nano_usd ?? 0) - (a.rated?.cost_nano_usd ?? 0))
  const { model: requestedModel, rated } = dearest ?? { model: '', rated: undefined }
  const draft: UsageDraft = {
    event_id: eventId,
    // A call of its own: the creation's call would otherwise have as many attempts as the batch has requests.
    call_id: eventId,
    attempt: 1,
    identity: creator.identity,
    claimed: creator.claimed,
    paid_by: job.paid_by,
    dialect,
    endpoint: dialect === 'anthropic' ? 'messages.batches.result' : 'batches.result',
    streamed: false,
    requested_model: requestedModel,
    provider: dialect,
    served_by: job.served_by,
    http_status: result.httpStatus,
    status: succeeded ? 'completed' : 'failed',
    admitted_at_ms: creator.admitted_at_ms,
    finished_at_ms: Math.max(finishedAtMs, creator.admitted_at_ms),
    duration_ms: Math.max(0, finishedAtMs - creator.admitted_at_ms),
    overhead_us: 0,
    quantities: usage.quantities,
    provenance: usage.provenance,
    modifiers: usage.modifiers,
    raw_usage: usage.raw_usage,
    price_book_id: creator.price_book_id,
    priced: rated?.priced ?? false,
    line_items: rated?.line_items ?? [],
    cost_nano_usd: rated?.cost_nano_usd ?? 0,
    leases: [],
    held: heldFor(job.held, requestedModel),
    settlement_key: settlementKey,
  }
  if (creator.override_price_book_id !== undefined) draft.override_price_book_id = creator.override_price_book_id
  if (assumesMax) draft.unpriced_policy = 'assume_max'
  if (rated?.assumed) draft.assumed = true
  if (doubts.length > 0) draft.doubts = doubts
  if (usage.served_model !== undefined) draft.served_model = usage.served_model
  if (usage.response_id !== undefined) draft.response_id = usage.response_id
  if (usage.finish_reason !== undefined) draft.finish_reason = usage.finish_reason
  if (result.errorCode !== undefined) draft.error_code = result.errorCode.slice(0, 128)
  return draft
}

/** A reply that tells no usage is not free: what was said is counted. */
function withEstimates(job: OwnedBatch, result: BatchResult, usage: UsageResult): UsageResult {
  if (usage.raw_usage !== null) return usage
  const facts = { inputTokens: job.creator.estimated_input_tokens, asked: undefined }
  if (result.said) {
    const parts = { parsed: result.reply, text: result.said }
    const estimated = readPicked(parts, { ...facts, wholeBytes: result.said.bytes }, { convert: () => usage })
    return { ...estimated, modifiers: { ...estimated.modifiers, batch: true } }
  }
  const text = Buffer.from(JSON.stringify(result.reply ?? null))
  const estimated = replyShapes[result.shape].read(text, {
    ...facts,
    wholeBytes: text.length,
    contentType: 'application/json',
    isWhole: true,
  })
  return { ...estimated, modifiers: { ...estimated.modifiers, batch: true } }
}

/** The model that was asked for: a result names only the one that served it, which may be a dated name of it. */
function modelOf(models: readonly string[], served: string | undefined): string {
  const [only, ...others] = models
  if (only !== undefined && others.length === 0) return only
  if (served === undefined) return ''
  const longestFirst = [...models].sort((a, b) => b.length - a.length)
  return longestFirst.find(model => served === model || served.startsWith(`${model}-`)) ?? served
}
