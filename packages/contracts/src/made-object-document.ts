import type { Static } from 'typebox'
import { defineDocument } from './define-event.ts'
import { UnixMs } from './ids.ts'
import { Type } from './type.ts'

export const MadeObjectSchema = Type.Object({
  made_at_ms: UnixMs,
})

/**
 * That a project has made what a provider keeps under an id (a response, an item of its output, a container), with the
 * operator's credential: in KV `made-objects` under {@link madeObjectKey}. Who has no record has not made it.
 */
export const MadeObject = defineDocument('made object', MadeObjectSchema)
export type MadeObject = Static<typeof MadeObjectSchema>

/** @param idHash of the object's id, in characters that a key may have */
export function madeObjectKey(projectId: string, idHash: string): string {
  return `${projectId}.${idHash}`
}
