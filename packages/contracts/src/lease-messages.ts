import type { Static } from 'typebox'
import { defineDocument, defineEvent } from './define-event.ts'
import { Id, UnixMs } from './ids.ts'
import { PARTITIONS } from './partitions.ts'
import { Type } from './type.ts'

/** Budgets are shared out over as many homes; each has one owner at a time, and nobody else changes its leases. */
export const HOMES = PARTITIONS

/** An amount in the budget's unit: nano-USD for `usd`, else a count. */
const Amount = Type.Integer({ minimum: 0 })

/** One copy of a budget in one window: what a lease is taken from. */
const poolMembers = {
  budget_id: Id,
  /** Value of the `per` dimension; empty for a shared pool. */
  copy: Type.String(),
  /** 0 for `total` and for `concurrent`. */
  window_start_ms: UnixMs,
}

/** Which ask of which run a lease comes from, and for which of its items: the same ask, repeated, names the same leases. */
export const LeaseId = Id

/** @param seq number of the ask in this run, from 1 */
export function leaseIdOf(gatewayId: string, epoch: number, seq: number, item: number): string {
  return `${leasesOfRun(gatewayId, epoch)}${leaseNameOf(seq, item)}`
}

/** What the ids of all leases of a run begin with. */
export function leasesOfRun(gatewayId: string, epoch: number): string {
  return `${gatewayId}-${epoch}-`
}

/** A lease within its run: by its ask and item alone. */
export function leaseNameOf(seq: number, item: number): string {
  return `${seq}-${item}`
}

/** The lease that a record of a run names: one of that run by {@link leaseNameOf}, any other in full. */
export function leaseIdOfName(gatewayId: string, epoch: number, name: string): string {
  return /^\d+-\d+$/.test(name) ? `${leasesOfRun(gatewayId, epoch)}${name}` : name
}

/** The number of the ask that a lease comes from. */
export function askSeqOf(leaseId: string): number {
  return Number(leaseId.split('-').at(-2))
}

/**
 * Who holds money that outlives the run it was leased by, until what it is for has ended: a batch, or a response in the background, by
 * the event that made it. Any gateway may tell what became of it, as if it were a run of the holder's own, of epoch 1.
 */
export function holderOf(kind: 'batch' | 'background', eventId: string): string {
  return `${kind}_${eventId}`
}

/** False: it is a gateway. */
export function isHolder(id: string): boolean {
  return id.startsWith('batch_') || id.startsWith('background_')
}

/** The lease of a holder that was a part of this one of a gateway. Told by both, so that none is handed over twice. */
export function handedLeaseId(holder: string, leaseId: string): string {
  const [seq, item] = leaseId.split('-').slice(-2)
  return `${holder.slice(holder.indexOf('_') + 1).replaceAll('-', '')}-${seq}-${item}`
}

/** What a lease has come to. All of it is totals, never differences, so that it may be said twice or too late. */
export const LeaseTotals = Type.Object({
  lease_id: LeaseId,
  ...poolMembers,
  /** Epoch of the run that asked for it. */
  epoch: Type.Integer({ minimum: 1 }),
  granted: Amount,
  /** What calls that have ended have used of it; above `granted` where a call was above its bound. */
  settled_total: Amount,
  /** What was given back and will not be used. */
  returned_total: Amount,
  /** What may have been used by attempts whose end was not measured, beyond what was settled for them. The whole list. */
  unresolved: Type.Array(Type.Object({ attempt_id: Type.String(), amount: Amount })),
  /** What of `returned_total` was handed to a holder, which has it as a lease of its own from then on. The whole list. Absent: nothing. */
  handed: Type.Optional(Type.Array(Type.Object({ holder: Id, amount: Amount }))),
  /** Grows with each change; what is older than what is known is passed over. */
  version: Type.Integer({ minimum: 0 }),
  /** No call holds any of it, and none will: it is closed at these totals. */
  done: Type.Boolean(),
})
export type LeaseTotals = Static<typeof LeaseTotals>

const who = {
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  at_ms: UnixMs,
}

/** `budget.ask.v1.<home>`, request: money for one call, all or nothing. The same ask, repeated, has the same answer. */
export const LeaseAsk = defineEvent({
  type: 'budget.ask.v1',
  subject: (home: number) => `budget.ask.v1.${home}`,
  schema: Type.Object({
    ...who,
    /** Number of the ask in this run, from 1. */
    seq: Type.Integer({ minimum: 1 }),
    items: Type.Array(
      Type.Object({
        ...poolMembers,
        /** Less than this is of no use; 0: money ahead of calls. */
        need: Amount,
        /** What the call can use. */
        want: Amount,
        /** What this gateway has of it already, for this call: with it, `need` is met. Absent: 0. */
        have: Type.Optional(Amount),
        /** What this gateway has used of it in the last minute: so much more is taken if there is plenty. */
        ahead: Amount,
        /** For a call that was let in in this window and runs on behind its end. Absent: the window must not be over. */
        late: Type.Optional(Type.Literal(true)),
      }),
      { minItems: 1, maxItems: 64 },
    ),
  }),
})
export type LeaseAsk = Static<typeof LeaseAsk.schema>

/**
 * Why nothing was granted. `spent`: what is left is below the need even if all that is held came back. `held`: it is not.
 * `unknown_budget`: deleted, or not hard. `not_open`: the window is over or has not begun. `fenced`: a later run of this
 * gateway was heard of, or this ask was answered before and its lease is closed. `recovering`: the home waits for gateways to
 * say which leases they have, and holders. `other_copy`: this value has no copy of its own in this window: ask for the copy that all
 * others share.
 */
export const LeaseRefusalReason = Type.Union([
  Type.Literal('spent'),
  Type.Literal('held'),
  Type.Literal('unknown_budget'),
  Type.Literal('not_open'),
  Type.Literal('fenced'),
  Type.Literal('recovering'),
  Type.Literal('other_copy'),
])
export type LeaseRefusalReason = Static<typeof LeaseRefusalReason>

const LeaseAnswerSchema = Type.Object({
  /** Of the ask. */
  seq: Type.Integer({ minimum: 1 }),
  term: Type.Integer({ minimum: 1 }),
  /** One for each item, in their order; of none, where there is a refusal. */
  grants: Type.Array(
    Type.Object({
      lease_id: LeaseId,
      amount: Amount,
      /** What the pool has left behind it. */
      left: Type.Integer(),
      /** What of the pool is in leases behind it, of all gateways: it may come back. Absent: of a home that does not say. */
      held: Type.Optional(Amount),
    }),
  ),
  refusal: Type.Optional(
    Type.Object({
      reason: LeaseRefusalReason,
      ...poolMembers,
      limit: Amount,
      /** Settled, in leases or without. */
      spent: Type.Integer(),
      /** Outstanding and unresolved. */
      held: Type.Integer(),
      need: Amount,
      retry_after_ms: Type.Integer({ minimum: 0 }),
    }),
  ),
})
/** The answer to a {@link LeaseAsk}. */
export const LeaseAnswer = defineDocument('lease answer', LeaseAnswerSchema)
export type LeaseAnswer = Static<typeof LeaseAnswerSchema>

/** `budget.report.v1.<home>`, request, repeated until it is answered: settlements and returns of leases of this run. */
export const LeaseReport = defineEvent({
  type: 'budget.report.v1',
  subject: (home: number) => `budget.report.v1.${home}`,
  schema: Type.Object({ ...who, leases: Type.Array(LeaseTotals, { maxItems: 1_000 }) }),
})
export type LeaseReport = Static<typeof LeaseReport.schema>

/**
 * `budget.hello.v1.<home>`, request, repeated until it is answered: this run of a gateway has ended, and its journal names these
 * leases. They are closed at these totals. With the last part (`more` false) all other leases of the run are closed too: what
 * the journal does not name was never used. Of earlier runs it says nothing: each has a hello of its own.
 */
export const LeaseHello = defineEvent({
  type: 'budget.hello.v1',
  subject: (home: number) => `budget.hello.v1.${home}`,
  schema: Type.Object({
    gateway_id: Id,
    /** The run that has ended. */
    ended_epoch: Type.Integer({ minimum: 1 }),
    at_ms: UnixMs,
    leases: Type.Array(LeaseTotals, { maxItems: 1_000 }),
    more: Type.Boolean(),
  }),
})
export type LeaseHello = Static<typeof LeaseHello.schema>

/** `budget.heartbeat.v1.<home>`, request: renews the leases of this run. */
export const LeaseHeartbeat = defineEvent({
  type: 'budget.heartbeat.v1',
  subject: (home: number) => `budget.heartbeat.v1.${home}`,
  schema: Type.Object({
    ...who,
    /** Leases with money that no call holds, where that has changed: what a recall could bring back. */
    idle: Type.Array(Type.Tuple([LeaseId, Amount]), { maxItems: 5_000 }),
    /** Leases that were idle and are so no longer. Absent: all that is idle is in `idle`. */
    busy: Type.Optional(Type.Array(LeaseId, { maxItems: 5_000 })),
    /**
     * Now and then: the leases of this run from the asks `from_seq` to `below_seq`, all of which are answered: whatever lease of
     * them is not named will never be used, and is closed. One that is done is named until that was answered.
     */
    whole: Type.Optional(
      Type.Object({
        from_seq: Type.Integer({ minimum: 1 }),
        /** Excluded. */
        below_seq: Type.Integer({ minimum: 1 }),
        lease_ids: Type.Array(LeaseId, { maxItems: 6_000 }),
        /** Parts follow, each sent when the one before it was answered and all of it was known. Absent: none. */
        more: Type.Optional(Type.Literal(true)),
        /**
         * Before this list, and since this home has said that it is recovering, it was told of the money of every batch and response in
         * the background that runs. Absent: it was not.
         */
        holders: Type.Optional(Type.Literal(true)),
      }),
    ),
  }),
})
export type LeaseHeartbeat = Static<typeof LeaseHeartbeat.schema>

const LeaseReceiptSchema = Type.Object({
  term: Type.Integer({ minimum: 1 }),
  /** The owner's clock. */
  at_ms: UnixMs,
  /** Named, and not known or closed here: not to be used any more, and to be reported whole. */
  unknown: Type.Array(LeaseId),
  /** A later run of this gateway was heard of: this one holds nothing any more. */
  fenced: Type.Boolean(),
  /** The home has lost its memory and waits to be told who has what. Absent: it has not. */
  recovering: Type.Optional(Type.Literal(true)),
})
/** The answer to reports, hellos and heartbeats: it is committed. */
export const LeaseReceipt = defineDocument('lease receipt', LeaseReceiptSchema)
export type LeaseReceipt = Static<typeof LeaseReceiptSchema>

/** `budget.recall.v1.<gateway>`: give back, now, what no call holds of these leases. */
export const LeaseRecall = defineEvent({
  type: 'budget.recall.v1',
  subject: (gatewayId: string) => `budget.recall.v1.${gatewayId}`,
  schema: Type.Object({
    home: Type.Integer({ minimum: 0, maximum: HOMES - 1 }),
    term: Type.Integer({ minimum: 1 }),
    lease_ids: Type.Array(LeaseId, { minItems: 1, maxItems: 1_000 }),
  }),
})
export type LeaseRecall = Static<typeof LeaseRecall.schema>
