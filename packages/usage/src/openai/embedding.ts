import { defined, nameOf, objectOf } from '../json-fields.ts'
import type { PickedMembers } from '../json-picker.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** What {@link fromEmbedding} reads of a reply. */
export const embeddingMembers: PickedMembers = { members: { model: 'whole', usage: 'whole' } }

/** Usage of an embeddings reply: input tokens alone. */
export function fromEmbedding(body: unknown): UsageResult {
  const reply = objectOf(body)
  const { in_text = 0 } = tokenQuantities(reply.usage)
  return {
    ...measuredAs({ in_text }, 'measured'),
    modifiers: {},
    raw_usage: reply.usage ?? null,
    ...defined({ served_model: nameOf(reply.model) }),
  }
}
