import type { Quantities, UsageModifiers } from '@sluice/contracts'
import { countOf, defined, isObject, type JsonObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import type { PickedMembers } from '../json-picker.ts'
import { saidIn } from '../said-text.ts'
import { addQuantities, freeUsage, measuredAs, type UsageResult } from '../usage-result.ts'
import { answerOfList, partsOf, readIterations } from './iterations.ts'
import { messageTokens } from './message-tokens.ts'

/** What {@link fromMessage} reads of a reply. */
export const messageMembers: PickedMembers = {
  members: {
    id: 'whole',
    model: 'whole',
    stop_reason: 'whole',
    usage: 'whole',
    container: { members: { id: 'whole' } },
  },
  says: saidIn('content'),
}

/**
 * Usage of a message. Anthropic's `input_tokens` leave cache reads and writes out: nothing is subtracted. A message that was
 * declined before its first token is not charged.
 */
export function fromMessage(body: unknown): UsageResult {
  const reply = objectOf(body)
  const model = nameOf(reply.model)
  const usage = isObject(reply.usage) ? reply.usage : undefined
  const finish = nameOf(reply.stop_reason)
  const container = nameOf(objectOf(reply.container).id)
  return {
    ...(usage ? usageOf(usage, { model, finish }) : { ...measuredAs({}, 'measured'), modifiers: {} }),
    raw_usage: usage ?? null,
    ...(container !== undefined && { made_ids: [container] }),
    ...defined({
      served_model: model,
      response_id: nameOf(reply.id),
      finish_reason: finish,
    }),
  }
}

/** Token counting is free. */
export function fromCountTokens(body: unknown): UsageResult {
  return freeUsage(objectOf(body))
}

/** One result line of a message batch: only a succeeded message is charged, at batch rates. */
export function fromBatchResult(line: unknown): UsageResult {
  const result = objectOf(objectOf(line).result)
  if (result.type !== 'succeeded') return { ...freeUsage(), finish_reason: nameOf(result.type) ?? 'unknown' }
  const usage = fromMessage(result.message)
  return { ...usage, modifiers: { ...usage.modifiers, batch: true } }
}

type Converted = Pick<UsageResult, 'quantities' | 'provenance' | 'modifiers' | 'parts'>

function usageOf(usage: JsonObject, message: { model: string | undefined; finish: string | undefined }): Converted {
  const own = messageTokens(usage)
  const iterations = readIterations(listOf(usage.iterations).map(objectOf), message.model)
  const declined = message.finish === 'refusal' && countOf(usage.output_tokens) === 0
  // The top level repeats what the answering model took; where it tells less than the list, the list is right.
  const listed = declined ? undefined : answerOfList(iterations, own)
  const answer = listed ?? (declined ? {} : own)
  const parts = partsOf(iterations, message.model, listed ? undefined : answer)
  return {
    ...measuredAs({ ...addQuantities({ ...answer }, iterations.beside), ...serverTools(usage) }, 'measured'),
    modifiers: modifiersOf(usage),
    ...(parts.length > 0 && { parts }),
  }
}

/** Calls of tools that run at Anthropic. What this code does not know by name counts too, so that it is not free unseen. */
function serverTools(usage: JsonObject): Quantities {
  let others = 0
  const tools = objectOf(usage.server_tool_use)
  for (const [name, value] of Object.entries(tools))
    if (name !== 'web_search_requests' && name !== 'web_fetch_requests') others += countOf(value)
  return {
    web_search_calls: countOf(tools.web_search_requests),
    web_fetch_calls: countOf(tools.web_fetch_requests),
    other_tool_calls: others,
  }
}

function modifiersOf(usage: JsonObject): UsageModifiers {
  const tier = nameOf(usage.service_tier)
  return {
    ...defined({
      service_tier: tier,
      inference_geo: nameOf(usage.inference_geo),
      speed: nameOf(usage.speed),
    }),
    ...(tier === 'batch' && { batch: true }),
  }
}
