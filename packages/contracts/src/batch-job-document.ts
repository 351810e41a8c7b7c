import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { HandedMoney } from './handed-money.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'
import { CallIdentity, ClaimedDimensions, Dialect } from './usage-recorded.ts'

const Count = Type.Integer({ minimum: 0 })

/** Who made a batch, and at which prices its results are rated: fixed when its creation was admitted. */
export const BatchCreator = Type.Object({
  /** The event and call of the creation. */
  event_id: Uuid,
  call_id: Uuid,
  /** The run that asked the provider. */
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  identity: CallIdentity,
  claimed: ClaimedDimensions,
  admitted_at_ms: UnixMs,
  price_book_id: Type.String(),
  override_price_book_id: Type.Optional(Type.String()),
  unpriced_policy: Type.Optional(Type.Literal('assume_max')),
  /** Distinct models that its requests name. Empty: not known, since it was given to its payer by hand. */
  models: Type.Array(Type.String(), { maxItems: 64 }),
  request_count: Count,
  /** Of one of its requests, estimated: counts for a result whose provider tells no number. */
  estimated_input_tokens: Count,
  /** OpenAI: the file that holds the requests, and the path they are for. */
  input_file_id: Type.Optional(Type.String()),
  target_endpoint: Type.Optional(Type.String()),
})
export type BatchCreator = Static<typeof BatchCreator>

/**
 * `creating`: asked for, no answer recorded; no batch id. `running`: at the provider, its results are not settled.
 * `settled`: every result has its event. `settled_estimated`: the same, but some results could not be read, and what they cost
 * is an estimate. `lost`: the provider no longer has what it would be settled from. `unknown`: found
 * at the provider, made by nobody we know. `dismissed`: was unknown, an operator has seen it.
 */
export const BatchState = Type.Union([
  Type.Literal('creating'),
  Type.Literal('running'),
  Type.Literal('settled'),
  Type.Literal('settled_estimated'),
  Type.Literal('lost'),
  Type.Literal('unknown'),
  Type.Literal('dismissed'),
])
export type BatchState = Static<typeof BatchState>

export const BatchJobSchema = Type.Object({
  state: BatchState,
  dialect: Dialect,
  /** Whose credential it lives under: `managed`, or the id of a project's integration. */
  access: Id,
  paid_by: Type.Union([Type.Literal('managed'), Type.Literal('own_credential')]),
  served_by: Type.String(),
  /** The provider's id. Absent while `creating`. */
  batch_id: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  /** Anthropic: the workspace that its creation named. */
  workspace_id: Type.Optional(Type.String({ maxLength: 256 })),
  /** By the provider's clock where it says so. */
  created_at_ms: UnixMs,
  /** Absent: `unknown` or `dismissed`. */
  creator: Type.Optional(BatchCreator),
  /** Until then a gateway works on it, or nobody needs to look. Moved by compare-and-set: who moves it has taken it. */
  next_look_at_ms: UnixMs,
  /** The gateway that looked last. */
  taken_by: Type.Optional(Id),
  /** It is being settled by `taken_by`, who has lost it when `next_look_at_ms` has passed. */
  settling: Type.Optional(Type.Boolean()),
  /** It has ended and could not be settled. */
  unsettled: Type.Optional(
    Type.Object({
      tries: Count,
      last_try_at_ms: UnixMs,
      /** Lines of its results whose events are written. */
      lines: Count,
      /** What those events have used of each lease of `held`, in its order. */
      used: Type.Optional(Type.Array(Count)),
    }),
  ),
  /** `creating`: the provider's answer did not come, so the batch may exist. */
  answer_lost: Type.Optional(Type.Boolean()),
  /** OpenAI: files that hold its results, once there are any. */
  result_file_ids: Type.Optional(Type.Array(Type.String())),
  /** Of hard budgets: what all of its requests can cost, until they are settled. Absent: nothing is held. */
  held: Type.Optional(HandedMoney),
  settlement: Type.Optional(
    Type.Object({
      settled_at_ms: UnixMs,
      settled_by: Id,
      results: Count,
      succeeded: Count,
      /** Lines of the results that could not be read: what they cost is estimated. */
      unreadable: Count,
      /** Decimal text: a sum may pass what a JSON number holds exactly. */
      cost_nano_usd: Type.String({ pattern: '^[0-9]+$' }),
    }),
  ),
})

/**
 * A batch at a provider, in KV `batches`, owned by all gateways together: under the id of its creation's event from before
 * it was asked for, or under {@link foundBatchKey} where nobody here asked for it.
 */
export const BatchJob = defineDocument('batch job', BatchJobSchema)
export type BatchJob = Static<typeof BatchJobSchema>

/** Key of a batch that was found at its provider. `idHash`: of its id, in characters that a key may have. */
export function foundBatchKey(dialect: Dialect, access: string, idHash: string): string {
  return `found.${dialect}.${access}.${idHash}`
}
