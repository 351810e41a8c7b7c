import type { Static } from 'typebox'
import { defineEvent } from './define-event.ts'
import { Id, UnixMs, Uuid } from './ids.ts'
import { Type } from './type.ts'

/** How many keys one message names at most: about 350 kB. */
export const maxKeysUsed = 5_000

/** `gateway.keys-used.v1`: the keys that a gateway has let calls of in since it said so last, each with the last time. */
export const KeysUsedData = Type.Object({
  gateway_id: Id,
  used: Type.Array(Type.Object({ key_id: Uuid, at_ms: UnixMs }), { maxItems: maxKeysUsed }),
})
export type KeysUsedData = Static<typeof KeysUsedData>

/**
 * A request on core NATS, in no stream: an empty answer says that it is stored. A gateway that gets none says it all again, and
 * the later time counts however often it is said.
 */
export const KeysUsed = defineEvent({
  type: 'gateway.keys-used.v1',
  subject: () => 'gateway.keys-used.v1',
  schema: KeysUsedData,
})
