import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'
import { CallIdentity, ClaimedDimensions } from './usage-recorded.ts'

/**
 * `metered`: its gateway hears it. `left`: that gateway is proved to have ended, and its journal is settled; whoever takes the
 * call first meters it on. `ending`: it has to end, and its gateway sees to that.
 */
export const RealtimeCallState = Type.Union([Type.Literal('metered'), Type.Literal('left'), Type.Literal('ending')])
export type RealtimeCallState = Static<typeof RealtimeCallState>

/** Most turns that a gateway can have left open in one call. */
export const MAX_LEFT_TURNS = 1024

export const RealtimeCallSchema = Type.Object({
  /** The provider's id. */
  call_id: Type.String({ pattern: '^[\\w.:-]{1,200}$' }),
  state: RealtimeCallState,
  /** The run that has it. */
  gateway_id: Id,
  epoch: Type.Integer({ minimum: 1 }),
  /** Written again while the run lives: who stands still has lost the call. */
  renewed_at_ms: UnixMs,
  /** Whose credential it lives under: `managed`, or the id of the project's integration. */
  access: Id,
  /** The call that made it, and its caller, who pays for every turn. */
  made_by: Uuid,
  identity: CallIdentity,
  claimed: ClaimedDimensions,
  /** Its maker's credential was a client secret. */
  by_client_secret: Type.Boolean(),
  model: Type.String({ minLength: 1, maxLength: 256 }),
  /** Lists of the credential, each of which must allow a model. */
  model_lists: Type.Array(Type.Array(Type.String())),
  created_at_ms: UnixMs,
  /**
   * Responses and items that runs which have ended had begun to meter: settled from their journals, so nobody else's, though
   * their provider may speak on.
   */
  left_turns: Type.Array(Type.String({ maxLength: 256 }), { maxItems: MAX_LEFT_TURNS }),
})

/**
 * A call whose sound goes between client and provider, in KV `realtime-calls` under {@link realtimeCallKey}, owned by all
 * gateways together. Deleted once the provider has ended it.
 */
export const RealtimeCall = defineDocument('realtime call', RealtimeCallSchema)
export type RealtimeCall = Static<typeof RealtimeCallSchema>

/** @param idHash of the call's id, in characters that a key may have */
export function realtimeCallKey(projectId: string, idHash: string): string {
  return `${projectId}.${idHash}`
}
