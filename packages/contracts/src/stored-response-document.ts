import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { HandedMoney } from './handed-money.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'
import { CallIdentity, ClaimedDimensions } from './usage-recorded.ts'

const ResponseId = Type.String({ minLength: 1, maxLength: 256 })

export const StoredResponseSchema = Type.Object({
  project_id: Uuid,
  response_id: ResponseId,
  /** Whose credential it lives under: `managed`, or the id of the project's integration. */
  access: Id,
  call_id: Uuid,
  created_at_ms: UnixMs,
})

/**
 * Who made a response that its provider keeps, in KV `stored-responses` under {@link responseKey}: only its project may ask
 * for it again. Gone as soon as providers forget responses too.
 */
export const StoredResponse = defineDocument('stored response', StoredResponseSchema)
export type StoredResponse = Static<typeof StoredResponseSchema>

export const BackgroundResponseSchema = Type.Object({
  response_id: ResponseId,
  access: Id,
  paid_by: Type.Union([Type.Literal('managed'), Type.Literal('own_credential')]),
  served_by: Type.String(),
  /** The call that made it, whose caller pays: fixed when it was admitted. */
  call_id: Uuid,
  identity: CallIdentity,
  claimed: ClaimedDimensions,
  requested_model: Type.String(),
  streamed: Type.Boolean(),
  admitted_at_ms: UnixMs,
  price_book_id: Type.String(),
  override_price_book_id: Type.Optional(Type.String()),
  unpriced_policy: Type.Optional(Type.Literal('assume_max')),
  /** Counts where the provider tells nothing. */
  estimated_input_tokens: Type.Integer({ minimum: 0 }),
  /** Of hard budgets: what it can cost, until it is settled. Absent: nothing is held. */
  held: Type.Optional(HandedMoney),
  /** Its event is in a journal, and `held` says what it has used: the homes have not heard of it yet. Absent: it is not settled. */
  owes_word: Type.Optional(
    Type.Object({
      /** Its end is not known: what exact budgets hold beyond that is set aside, under this event. */
      lost: Type.Optional(Uuid),
    }),
  ),
  /** Its maker has gone without hearing of it: it is cancelled. */
  given_up: Type.Optional(Type.Boolean()),
  /** When a gateway looks at it next. Moved by compare-and-set: who moves it has taken it. */
  next_look_at_ms: UnixMs,
})

/**
 * A response that is being made in the background and is not settled, in KV `background-responses` under
 * {@link responseKey}, owned by all gateways together. Deleted once its event is in a journal and its homes know.
 */
export const BackgroundResponse = defineDocument('background response', BackgroundResponseSchema)
export type BackgroundResponse = Static<typeof BackgroundResponseSchema>

/** @param idHash of the response's id, in characters that a key may have */
export function responseKey(projectId: string, idHash: string): string {
  return `${projectId}.${idHash}`
}
