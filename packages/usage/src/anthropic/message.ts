import type { Quantities, UsageModifiers } from '@sluice/contracts'
import { countOf, defined, isObject, type JsonObject, listOf, nameOf, objectOf } from '../json-fields.ts'
import { addQuantities, freeUsage, measuredAs, type UsageResult } from '../usage-result.ts'

/** Usage of a message. Anthropic's `input_tokens` leave cache reads and writes out: nothing is subtracted. */
export function fromMessage(body: unknown): UsageResult {
  const reply = objectOf(body)
  const model = nameOf(reply.model)
  const usage = isObject(reply.usage) ? reply.usage : undefined
  return {
    ...(usage ? usageOf(usage, model) : { ...measuredAs({}, 'measured'), modifiers: {} }),
    raw_usage: usage ?? null,
    ...defined({
      served_model: model,
      response_id: nameOf(reply.id),
      finish_reason: nameOf(reply.stop_reason),
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

interface Part {
  model: string
  quantities: Quantities
}

/** Each becomes lines of the event, which is bounded; a message has a handful. */
const maxParts = 64

type Converted = Pick<UsageResult, 'quantities' | 'provenance' | 'modifiers' | 'parts'>

export function usageOf(usage: JsonObject, model: string | undefined): Converted {
  const own = tokensOf(usage)
  const parts: Part[] = []
  const iterations = listOf(usage.iterations).map(objectOf)
  let total: Quantities = own
  if (iterations.length > 0) {
    // The top level tells what the answering model took; compactions, advisors and fallbacks stand only in the list.
    const answering: Quantities = {}
    const beside: Quantities = {}
    for (const iteration of iterations) {
      const quantities = tokensOf(iteration)
      const isAnswer = iteration.type === undefined || iteration.type === 'message'
      addQuantities(isAnswer ? answering : beside, quantities)
      const other = nameOf(iteration.model)
      if (other !== undefined && other !== model) addPart(parts, other, withoutZeros(quantities))
    }
    total = addQuantities(sumOf(answering) >= sumOf(own) ? answering : { ...own }, beside)
  }
  const tools = objectOf(usage.server_tool_use)
  const quantities: Quantities = {
    ...total,
    web_search_calls: countOf(tools.web_search_requests),
    web_fetch_calls: countOf(tools.web_fetch_requests),
  }
  return {
    ...measuredAs(quantities, 'measured'),
    modifiers: modifiersOf(usage),
    ...(parts.length > 0 && { parts }),
  }
}

/** Past the bound, a part joins the last of its model; one of yet another model stays with what the call's own model took. */
function addPart(parts: Part[], model: string, quantities: Quantities): void {
  if (parts.length < maxParts) {
    parts.push({ model, quantities })
    return
  }
  const last = parts.findLast(part => part.model === model)
  if (last) addQuantities(last.quantities, quantities)
}

function tokensOf(usage: JsonObject): Quantities {
  const written = countOf(usage.cache_creation_input_tokens)
  const split = objectOf(usage.cache_creation)
  const hour = countOf(split.ephemeral_1h_input_tokens)
  const fiveMinutes = countOf(split.ephemeral_5m_input_tokens)
  const output = countOf(usage.output_tokens)
  return {
    in_text: countOf(usage.input_tokens),
    in_cache_read: countOf(usage.cache_read_input_tokens),
    // What the split does not name was written for five minutes, the default.
    in_cache_write_5m: Math.max(fiveMinutes, written - hour),
    in_cache_write_1h: hour,
    out_text: output,
    out_reasoning: Math.min(output, countOf(objectOf(usage.output_tokens_details).thinking_tokens)),
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

function sumOf(quantities: Quantities): number {
  return (
    (quantities.in_text ?? 0) +
    (quantities.in_cache_read ?? 0) +
    (quantities.in_cache_write_5m ?? 0) +
    (quantities.in_cache_write_1h ?? 0) +
    (quantities.out_text ?? 0)
  )
}

function withoutZeros(quantities: Quantities): Quantities {
  return measuredAs(quantities, 'measured').quantities
}
