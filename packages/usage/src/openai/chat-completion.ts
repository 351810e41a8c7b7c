import type { UsageModifiers } from '@sluice/contracts'
import { defined, isObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** Usage of a chat completion, or of a legacy text completion: both have the same shape. */
export function fromChatCompletion(body: unknown): UsageResult {
  const reply = objectOf(body)
  const finish = listOf(reply.choices)
    .map(choice => nameOf(objectOf(choice).finish_reason))
    .find(reason => reason !== undefined)
  return {
    ...measuredAs(isObject(reply.usage) ? tokenQuantities(reply.usage) : {}, 'measured'),
    modifiers: servedTier(reply),
    raw_usage: reply.usage ?? null,
    ...defined({
      served_model: nameOf(reply.model),
      response_id: nameOf(reply.id),
      finish_reason: finish,
    }),
  }
}

/** The tier a reply says it was served in. */
export function servedTier(reply: Record<string, unknown>): UsageModifiers {
  return defined({ service_tier: nameOf(reply.service_tier) })
}
