import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, NanoUsd, UnixMs } from './ids.ts'
import { PARTITIONS } from './partitions.ts'
import { Type } from './type.ts'

/** The last number that was given out in each partition of an epoch; 0: none. */
const LastNumbers = Type.Array(Type.Integer({ minimum: 0 }), { minItems: PARTITIONS, maxItems: PARTITIONS })

/** `gateway.hello.v1`: a gateway has started, or has adopted a journal. */
export const GatewayHelloData = Type.Object({
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  at_ms: UnixMs,
  version: Type.String(),
  /** Empty: budgets' homes hear of leases by `budget.hello.v1.<home>`, which they answer. */
  leases: Type.Array(
    Type.Object({
      lease_id: Id,
      budget_id: Id,
      copy: Type.String(),
      window_start_ms: UnixMs,
      granted: Type.Integer(),
      settled_total: Type.Integer(),
      returned_total: Type.Integer(),
      unresolved: Type.Array(Type.Object({ attempt_id: Type.String(), amount: Type.Integer() })),
    }),
  ),
})
export type GatewayHelloData = Static<typeof GatewayHelloData>
export const GatewayHello = defineEvent({
  type: 'gateway.hello.v1',
  subject: () => 'gateway.hello.v1',
  schema: GatewayHelloData,
})

/** `gateway.heartbeat.v1`, each second, core NATS: this gateway is alive and how it fares. */
export const GatewayHeartbeatData = Type.Object({
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  at_ms: UnixMs,
  ready: Type.Boolean(),
  active_calls: Type.Integer({ minimum: 0 }),
  /** Events that are in the journal and not yet acknowledged by JetStream. */
  unpublished_events: Type.Integer({ minimum: 0 }),
  /** Absent: sent by a gateway from before it was told. So are `open_attempts` and what follows. */
  last: Type.Optional(LastNumbers),
  /** Attempts that are in the journal and have no event yet. */
  open_attempts: Type.Optional(Type.Integer({ minimum: 0 })),
  /** What these would be settled at if the gateway ended now. */
  open_nano_usd: Type.Optional(NanoUsd),
  /** How many of them are not in that amount, for want of time or of a price. */
  open_unrated: Type.Optional(Type.Integer({ minimum: 0 })),
})
export type GatewayHeartbeatData = Static<typeof GatewayHeartbeatData>
export const GatewayHeartbeat = defineEvent({
  type: 'gateway.heartbeat.v1',
  subject: () => 'gateway.heartbeat.v1',
  schema: GatewayHeartbeatData,
})

/**
 * `gateway.epoch-closed.v1`: no event of this epoch is to come. `last[p]` is the last number of partition p (0: none).
 * In stream USAGE, so that consumers meet it behind the epoch's batches.
 */
export const GatewayEpochClosedData = Type.Object({
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  last: LastNumbers,
  /** The gateway that closed it: itself, or the sibling that adopted its journal. */
  closed_by: Id,
  closed_at_ms: UnixMs,
})
export type GatewayEpochClosedData = Static<typeof GatewayEpochClosedData>
export const GatewayEpochClosed = defineEvent({
  type: 'gateway.epoch-closed.v1',
  subject: () => 'gateway.epoch-closed.v1',
  schema: GatewayEpochClosedData,
})
