import type { Quantities, UsageModifiers } from '@sluice/contracts'
import { countOf, defined, isObject, type JsonObject, listOf, objectOf, textOf } from '../json-fields.ts'
import { addQuantities, freeUsage, measuredAs, type UsageResult } from '../usage-result.ts'

/** Usage of a message. Anthropic's `input_tokens` leave cache reads and writes out: nothing is subtracted. */
export function fromMessage(body: unknown): UsageResult {
  const reply = objectOf(body)
  const model = textOf(reply.model)
  const usage = isObject(reply.usage) ? reply.usage : undefined
  return {
    ...(usage ? usageOf(usage, model) : { ...measuredAs({}, 'measured'), modifiers: {} }),
    raw_usage: usage ?? null,
    ...defined({
      served_model: model,
      response_id: textOf(reply.id),
      finish_reason: textOf(reply.stop_reason),
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
  if (result.type !== 'succeeded') return { ...freeUsage(), finish_reason: textOf(result.type) ?? 'unknown' }
  const usage = fromMessage(result.message)
  return { ...usage, modifiers: { ...usage.modifiers, batch: true } }
}

type Converted = Pick<UsageResult, 'quantities' | 'provenance' | 'modifiers' | 'parts'>

export function usageOf(usage: JsonObject, model: string | undefined): Converted {
  const own = tokensOf(usage)
  const parts: { model: string; quantities: Quantities }[] = []
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
      const other = textOf(iteration.model)
      if (other !== undefined && other !== model) parts.push({ model: other, quantities: withoutZeros(quantities) })
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
  const tier = textOf(usage.service_tier)
  return {
    ...defined({
      service_tier: tier,
      inference_geo: textOf(usage.inference_geo),
      speed: textOf(usage.speed),
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
