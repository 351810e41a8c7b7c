import type { UsageModifiers } from '@sluice/contracts'
import { isObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import type { PickedMembers } from '../json-picker.ts'
import { saidIn } from '../said-text.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** Models that search the web for every chat completion, and do not say so in its usage. */
const searchingModel = /-search-(preview|api)(-|$)/

/** What {@link fromChatCompletion} reads of a reply. */
export const chatCompletionMembers: PickedMembers = {
  members: {
    id: 'whole',
    model: 'whole',
    service_tier: 'whole',
    usage: 'whole',
    choices: { members: { finish_reason: 'whole' } },
  },
  says: saidIn('choices'),
}

/** Usage of a chat completion, or of a legacy text completion: both have the same shape. */
export function fromChatCompletion(body: unknown): UsageResult {
  const reply = objectOf(body)
  const model = nameOf(reply.model)
  const tokens = measuredAs(isObject(reply.usage) ? tokenQuantities(reply.usage) : {}, 'measured')
  const { quantities, provenance } = isObject(reply.usage) ? withSearch(tokens, model) : tokens
  const result: UsageResult = { quantities, provenance, modifiers: servedTier(reply), raw_usage: reply.usage ?? null }
  const id = nameOf(reply.id)
  const finish = firstFinish(listOf(reply.choices))
  if (model !== undefined) result.served_model = model
  if (id !== undefined) result.response_id = id
  if (finish !== undefined) result.finish_reason = finish
  return result
}

function firstFinish(choices: readonly unknown[]): string | undefined {
  for (const choice of choices) {
    const reason = nameOf(objectOf(choice).finish_reason)
    if (reason !== undefined) return reason
  }
  return undefined
}

type Counted = Pick<UsageResult, 'quantities' | 'provenance'>

/** The same with the one search that a model of this name makes for each answer. */
export function withSearch(counted: Counted, model: string | undefined): Counted {
  if (model === undefined || !searchingModel.test(model)) return counted
  return {
    quantities: { ...counted.quantities, web_search_calls: 1 },
    provenance: { ...counted.provenance, web_search_calls: 'estimated' },
  }
}

/** The tier a reply says it was served in. */
export function servedTier(reply: Record<string, unknown>): UsageModifiers {
  const tier = nameOf(reply.service_tier)
  return tier === undefined ? {} : { service_tier: tier }
}
