import { defined, nameOf, objectOf } from '../json-fields.ts'
import { freeUsage, type UsageResult } from '../usage-result.ts'

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
