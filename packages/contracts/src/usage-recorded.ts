import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, NanoUsd, UnixMs, Uuid } from './ids.ts'
import { Quantities, QuantityProvenance, UsageModifiers } from './quantities.ts'
import { Type } from './type.ts'

/** One priced line. `cost_nano_usd` = round-half-even(quantity × rate × multiplier / 10⁶). */
export const LineItem = Type.Object({
  quantity_name: Type.String(),
  quantity: Type.Integer({ minimum: 0 }),
  /** Integer nano-USD per 10⁶ units. */
  rate_nano_usd_per_million: Type.Integer({ minimum: 0 }),
  /** Ratio applied to the rate (batch, geography), as two integers. Absent: 1. */
  multiplier: Type.Optional(Type.Tuple([Type.Integer({ minimum: 0 }), Type.Integer({ minimum: 1 })])),
  /** The model this line is priced as, where it is not the call's (per-iteration models). */
  model: Type.Optional(Type.String()),
  /** Which of the turns of other models the line belongs to, from 1. Only where `model` is. */
  turn: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Where a rate or a ratio comes from that the model itself has not (`assume_max`): a model's id, rules of modifiers. */
  assumed_from: Type.Optional(Type.String()),
  cost_nano_usd: NanoUsd,
})
export type LineItem = Static<typeof LineItem>

/** Who caused a call. *Signed* facts, from the credential; stamped at admission and never changed. */
export const CallIdentity = Type.Object({
  account_id: Id,
  project_id: Uuid,
  /** The team that pays; `unassigned` where the credential names none. */
  team_id: Id,
  /** Pseudonymous. Absent for service credentials. */
  member_id: Type.Optional(Id),
  service_account_id: Type.Optional(Id),
  key_id: Type.Optional(Uuid),
  room: Type.Optional(Type.String({ maxLength: 63 })),
  participant: Type.Optional(Type.String({ maxLength: 256 })),
  credential_kind: Type.Union([Type.Literal('key'), Type.Literal('participant_token'), Type.Literal('oauth')]),
})
export type CallIdentity = Static<typeof CallIdentity>

/** What a client says of itself in headers. Never exempts a call, never chooses another pool. */
export const ClaimedDimensions = Type.Object({
  app: Type.Optional(Type.String({ maxLength: 128 })),
  session_id: Type.Optional(Type.String({ maxLength: 128 })),
  agent_id: Type.Optional(Type.String({ maxLength: 128 })),
  parent_agent_id: Type.Optional(Type.String({ maxLength: 128 })),
  tags: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 256 }))),
})
export type ClaimedDimensions = Static<typeof ClaimedDimensions>

export const Dialect = Type.Union([Type.Literal('openai'), Type.Literal('anthropic')])
export type Dialect = Static<typeof Dialect>

/**
 * How an attempt ended. `completed`: the provider finished it. `failed`: the provider refused it or broke. `aborted`: the
 * client left. `cut`: we ended it (`cut_by`). `killed`: the gateway died; recovered from its journal.
 */
export const AttemptStatus = Type.Union([
  Type.Literal('completed'),
  Type.Literal('failed'),
  Type.Literal('aborted'),
  Type.Literal('cut'),
  Type.Literal('killed'),
])
export type AttemptStatus = Static<typeof AttemptStatus>

/**
 * Why the numbers of an attempt want a look. `usage_missing`: the reply was whole and told none. `input_missing`: it told
 * output only. `output_below_text`: it told fewer tokens than its text can be. `output_above_limit`: more than the request
 * allows. `usage_shrank`: a later number was below an earlier one; the highest counts. `tier_not_asked`: served in another
 * tier than the request insists on; the served one is priced.
 */
export const UsageDoubt = Type.Union([
  Type.Literal('usage_missing'),
  Type.Literal('input_missing'),
  Type.Literal('output_below_text'),
  Type.Literal('output_above_limit'),
  Type.Literal('usage_shrank'),
  Type.Literal('tier_not_asked'),
])
export type UsageDoubt = Static<typeof UsageDoubt>

/** Who pays the provider: our managed credential, the project's own one, or a flat seat (notional cost). */
export const PaidBy = Type.Union([Type.Literal('managed'), Type.Literal('own_credential'), Type.Literal('seat')])

/** A budget copy and window that a call counted against at admission. */
export const HeldAmount = Type.Object({
  budget_id: Id,
  /** Value of the `per` dimension; empty for a shared pool. */
  copy: Type.String(),
  window_start_ms: UnixMs,
  amount: Type.Integer({ minimum: 0 }),
})

/** A copy of a hard budget in a window. */
const PoolLabel = Type.Tuple([Id, Type.String(), UnixMs])

/**
 * Money of a hard budget that an attempt held: of which copy and window, how much, and from which leases it was settled: what of
 * each, and what that lease had settled in all, with it. Leases of the run itself are named by `leaseNameOf`.
 */
export const DrawnMoney = Type.Tuple([
  PoolLabel,
  Type.Integer({ minimum: 0 }),
  Type.Array(Type.Tuple([Type.String(), Type.Integer(), Type.Integer()])),
])
export type DrawnMoney = Static<typeof DrawnMoney>

/**
 * `usage.recorded.v1`: one attempt at one provider, metered. `event_id` is the attempt id (UUIDv7, fixed at admission).
 * Never holds prompt or completion text.
 */
export const UsageRecordedData = Type.Object({
  event_id: Uuid,
  call_id: Uuid,
  /** 1 for the first try of a call. */
  attempt: Type.Integer({ minimum: 1 }),
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  partition: Type.Integer({ minimum: 0 }),
  seq: Type.Integer({ minimum: 1 }),

  identity: CallIdentity,
  claimed: ClaimedDimensions,
  paid_by: PaidBy,

  dialect: Dialect,
  /** Row of the gateway's endpoint table: `chat.completions`, `responses`, `messages`, … */
  endpoint: Type.String(),
  streamed: Type.Boolean(),
  requested_model: Type.String(),
  served_model: Type.Optional(Type.String()),
  /** Whose model and prices: `openai`, `anthropic`. */
  provider: Type.String(),
  /** Who answered: `openai`, `anthropic`, `simulator`, or the host of an integration's base URL. */
  served_by: Type.String(),
  provider_request_id: Type.Optional(Type.String()),
  response_id: Type.Optional(Type.String()),
  http_status: Type.Integer({ minimum: 0 }),
  status: AttemptStatus,
  finish_reason: Type.Optional(Type.String()),
  error_code: Type.Optional(Type.String()),
  cut_by: Type.Optional(
    Type.Object({ reason: Type.String(), budget_id: Type.Optional(Id), copy: Type.Optional(Type.String()) }),
  ),

  /** The output limit that it was sent with, where a budget pays for less than it asks for. Absent: they pay for all. */
  clamped: Type.Optional(
    Type.Object({ to: Type.Integer({ minimum: 1 }), budget_id: Type.Optional(Id), copy: Type.Optional(Type.String()) }),
  ),

  admitted_at_ms: UnixMs,
  finished_at_ms: UnixMs,
  time_to_first_chunk_ms: Type.Optional(Type.Integer({ minimum: 0 })),
  duration_ms: Type.Integer({ minimum: 0 }),
  /** Time this gateway added before the request left it, in microseconds. */
  overhead_us: Type.Integer({ minimum: 0 }),

  quantities: Quantities,
  provenance: QuantityProvenance,
  modifiers: UsageModifiers,
  /** The provider's own usage object, untouched; null where it sent none. */
  raw_usage: Type.Unknown(),
  /** Absent: nothing is odd about the numbers. */
  doubts: Type.Optional(Type.Array(UsageDoubt)),

  price_book_id: Type.String(),
  /** The project's override book, consulted first. */
  override_price_book_id: Type.Optional(Type.String()),
  /** False: something that was used has no rate, and the cost leaves it out. */
  priced: Type.Boolean(),
  /** What the project had said at admission of what has no rate; absent: it is left out of the cost. */
  unpriced_policy: Type.Optional(Type.Literal('assume_max')),
  /** The cost holds rates that were assumed: the lines name from where. Absent: none. */
  assumed: Type.Optional(Type.Literal(true)),
  line_items: Type.Array(LineItem),
  cost_nano_usd: NanoUsd,

  /**
   * What it held of hard budgets, one for each: they count it by their leases, not by this event. Says in short what `leases`,
   * `lease_totals` and `held` say; an event has one or the other, and is read by `heldMoneyOf`, `settledLeasesOf` and `leaseTotalsOf`.
   */
  drawn: Type.Optional(Type.Array(DrawnMoney)),
  /** What of it was settled from which lease. Budgets that `held` names count it by their leases, not by this event. */
  leases: Type.Array(Type.Tuple([Id, Type.Integer()])),
  /** What each of these leases had settled in all, with it. Absent: it has none. */
  lease_totals: Type.Optional(Type.Array(Type.Tuple([Id, Type.Integer()]))),
  /** What of which lease it may have used beyond that: its end was not measured. Absent: nothing. */
  unresolved: Type.Optional(Type.Array(Type.Tuple([Id, Type.Integer()]))),
  /** Who holds from then on what of which lease it has held: what it has begun ends later. Absent: nobody. */
  handed: Type.Optional(Type.Object({ holder: Id, leases: Type.Array(Type.Tuple([Id, Type.Integer()])) })),
  held: Type.Array(HeldAmount),
  /** For what more than one gateway may settle: unique in billing and budget. */
  settlement_key: Type.Optional(Type.String()),
})
export type UsageRecordedData = Static<typeof UsageRecordedData>

/** Published in batches: see `series.ts` for the headers and the NDJSON body. */
export const UsageRecorded = defineEvent({
  type: 'usage.recorded.v1',
  subject: (partition: number) => `usage.recorded.v1.${partition}`,
  schema: UsageRecordedData,
})
