import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { UnixMs } from './ids.ts'
import { Type } from './type.ts'

const count = Type.Integer({ minimum: 0 })

export const ChargedContainerSchema = Type.Object({
  started_at_ms: UnixMs,
  used_at_ms: UnixMs,
  gb: count,
  /** Minutes that have been counted, from its start. */
  minutes: count,
})

/** A container that lives at a provider, and what of it has been counted: in KV `containers` under {@link containerKey}. */
export const ChargedContainer = defineDocument('charged container', ChargedContainerSchema)
export type ChargedContainer = Static<typeof ChargedContainerSchema>

/** @param idHash of the container's id, in characters that a key may have */
export function containerKey(projectId: string, idHash: string): string {
  return `${projectId}.${idHash}`
}
