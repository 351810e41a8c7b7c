import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'
import { CallIdentity, ClaimedDimensions, Dialect } from './usage-recorded.ts'

/**
 * `call.refused.v1`: a call that was answered with a no before it reached a provider. Never billed. A gateway sends at
 * most a few per key and second; `count` says how many equal ones this message stands for.
 */
export const CallRefusedData = Type.Object({
  call_id: Uuid,
  gateway_id: Id,
  refused_at_ms: UnixMs,
  /** Absent where the credential itself was refused. */
  identity: Type.Optional(CallIdentity),
  claimed: ClaimedDimensions,
  dialect: Dialect,
  endpoint: Type.String(),
  requested_model: Type.Optional(Type.String()),
  /** Stable code: `budget_spent`, `model_not_allowed`, `credential_revoked`, `path_not_supported`, … */
  reason: Type.String(),
  http_status: Type.Integer(),
  budget: Type.Optional(
    Type.Object({
      budget_id: Id,
      name: Type.String(),
      copy: Type.String(),
      unit: Type.String(),
      limit: Type.Integer(),
      spent: Type.Integer(),
      /** By calls that ran, and by such whose end was not known. */
      held: Type.Optional(Type.Integer()),
      window: Type.Optional(Type.String()),
      need: Type.Optional(Type.Integer()),
      resets_at_ms: Type.Optional(UnixMs),
    }),
  ),
  /** The admin's stop that refused it. */
  stop_id: Type.Optional(Id),
  /** What the client was told. */
  message: Type.Optional(Type.String({ maxLength: 500 })),
  count: Type.Integer({ minimum: 1 }),
})
export type CallRefusedData = Static<typeof CallRefusedData>

export const CallRefused = defineEvent({
  type: 'call.refused.v1',
  subject: (partition: number) => `call.refused.v1.${partition}`,
  schema: CallRefusedData,
})
