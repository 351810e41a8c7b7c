import type { UsageRecordedData } from '@sluice/contracts'
import type { DrawnRow } from '@sluice/leases'
import { type Rating, rate, ratedModel, ratedParts } from '@sluice/pricing'
import type { UsageResult } from '@sluice/usage'
import type { MatchedBudget } from './budget-index.ts'
import type { AdmittedCall } from './call.ts'
import { doubtUsage } from './doubt-usage.ts'
import type { Journal, UsageDraft } from './journal/journal.ts'
import type { RecentContainers } from './recent-containers.ts'
import { counterOf } from './resolve-route.ts'

/** How an attempt ended, and what it is known to have used. */
export interface Outcome {
  status: UsageRecordedData['status']
  httpStatus: number
  usage: UsageResult
  /** What was said in a stream, as text. */
  outputBytes?: number
  /** The numbers came after the client had gone. */
  drained: boolean
  errorCode: string | undefined
  cutBy: UsageRecordedData['cut_by']
  providerRequestId: string | undefined
  timeToFirstChunkMs: number | undefined
  overheadUs: number
  finishedAtMs: number
}

export interface SettleDeps {
  journal: Journal
  containers: RecentContainers
}

/** What of a call decides on its prices. */
export type RatedCall = Pick<AdmittedCall, 'route' | 'prices' | 'requestedModel' | 'principal'>

/** Rates quantities at the books that the call was admitted with. */
export function rateCall(call: RatedCall, usage: UsageResult): Rating {
  const { provider } = call.route
  const model = ratedModel(call.prices, provider, call.requestedModel, usage.served_model)
  return rate(call.prices, {
    provider,
    model,
    quantities: usage.quantities,
    modifiers: usage.modifiers,
    parts: ratedParts(usage.parts, usage.served_model, model),
    assumeDearest: call.principal.project.unpriced === 'assume_max',
  })
}

/**
 * Settles an attempt, always and once: rated, then into the journal, which numbers it and has it published. When `written`
 * is called, or, where none is given, after this returns, the event survives the process.
 */
export function settle(
  { journal, containers }: SettleDeps,
  call: AdmittedCall,
  outcome: Outcome,
  written?: (error?: Error) => void,
): UsageRecordedData {
  const used = containers.chargeOnce(call.principal.identity.project_id, outcome.usage, {
    startedAtMs: call.admittedAtMs,
    nowMs: outcome.finishedAtMs,
  })
  const { usage, doubts } = doubtUsage(call, used, {
    outputBytes: outcome.outputBytes ?? outcome.usage.outputBytes ?? 0,
    whole: outcome.status === 'completed',
  })
  call.pace?.learn(outcome.outputBytes ?? 0, usage)
  call.prompt?.learn(counterOf(call.route), usage)
  const rating = rateCall(call, usage)
  const { provider, servedBy, paidBy } = call.route
  const draft: UsageDraft = {
    event_id: call.eventId,
    call_id: call.callId,
    attempt: call.attempt,
    identity: call.principal.identity,
    claimed: call.claimed,
    paid_by: paidBy,
    dialect: call.endpoint.dialect,
    endpoint: call.endpoint.name,
    streamed: call.streamed,
    requested_model: call.requestedModel,
    provider,
    served_by: servedBy,
    http_status: outcome.httpStatus,
    status: outcome.status,
    admitted_at_ms: call.admittedAtMs,
    finished_at_ms: outcome.finishedAtMs,
    duration_ms: Math.max(0, outcome.finishedAtMs - call.admittedAtMs),
    overhead_us: outcome.overheadUs,
    quantities: usage.quantities,
    provenance: outcome.drained ? drained(usage.provenance) : usage.provenance,
    modifiers: usage.modifiers,
    raw_usage: usage.raw_usage,
    price_book_id: call.prices.book.id,
    priced: rating.priced,
    line_items: rating.line_items,
    cost_nano_usd: rating.cost_nano_usd,
    leases: [],
    held: [],
  }
  if (doubts.length > 0) draft.doubts = doubts
  if (usage.served_model !== undefined) draft.served_model = usage.served_model
  if (usage.response_id !== undefined) draft.response_id = usage.response_id
  if (usage.finish_reason !== undefined) draft.finish_reason = usage.finish_reason
  if (outcome.providerRequestId !== undefined) draft.provider_request_id = outcome.providerRequestId
  if (outcome.errorCode !== undefined) draft.error_code = outcome.errorCode
  if (outcome.cutBy !== undefined) draft.cut_by = outcome.cutBy
  if (call.clampedTo !== undefined) draft.clamped = clampOf(call.clampedTo, call.clampedBy)
  if (outcome.timeToFirstChunkMs !== undefined) draft.time_to_first_chunk_ms = outcome.timeToFirstChunkMs
  if (call.principal.project.unpriced === 'assume_max') draft.unpriced_policy = 'assume_max'
  if (rating.assumed) draft.assumed = true
  if (call.prices.override) draft.override_price_book_id = call.prices.override.id
  // Before the CLOSE, in the same turn of the loop: no report can tell of it before it is written.
  let drawn: DrawnRow | undefined
  if (call.money) {
    const settled = call.money.settle(draft, isUnmeasured(outcome), outcome.finishedAtMs, call.holder)
    const { unresolved, handed } = settled
    drawn = settled.row
    if (!drawn) draft.drawn = settled.drawn
    if (unresolved) draft.unresolved = unresolved
    if (handed) draft.handed = handed
  }
  return journal.close(draft, { urgent: call.hold.urgent, written, drawn })
}

function clampOf(to: number, by: MatchedBudget | undefined): NonNullable<UsageRecordedData['clamped']> {
  return by ? { to, budget_id: by.budget.budget_id, copy: by.copy } : { to }
}

/** It did not come to its end before us: what it used was told from what was seen of it. */
function isUnmeasured({ status, usage }: Outcome): boolean {
  return status !== 'completed' && Object.values(usage.provenance).includes('estimated')
}

function drained(provenance: UsageResult['provenance']): UsageResult['provenance'] {
  const result: UsageResult['provenance'] = {}
  for (const [name, mark] of Object.entries(provenance)) {
    result[name as keyof typeof result] = mark === 'measured' ? 'drained' : mark
  }
  return result
}
