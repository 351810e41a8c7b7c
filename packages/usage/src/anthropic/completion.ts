import { defined, nameOf, objectOf } from '../json-fields.ts'
import type { PickedMembers } from '../json-picker.ts'
import { saidIn } from '../said-text.ts'
import { freeUsage, type UsageResult } from '../usage-result.ts'

/** What {@link fromCompletion} reads of a reply. */
export const completionMembers: PickedMembers = {
  members: { id: 'whole', model: 'whole', stop_reason: 'whole' },
  says: saidIn('completion'),
}

/** A legacy completion. It tells no usage: whoever meters it estimates both sides. */
export function fromCompletion(body: unknown): UsageResult {
  const reply = objectOf(body)
  return {
    ...freeUsage(),
    ...defined({
      served_model: nameOf(reply.model),
      response_id: nameOf(reply.id),
      finish_reason: nameOf(reply.stop_reason),
    }),
  }
}
