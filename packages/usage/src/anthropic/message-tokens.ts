import type { Quantities } from '@sluice/contracts'
import { countOf, type JsonObject, objectOf } from '../json-fields.ts'

const cacheLifetime = /^ephemeral_(.{1,16})_input_tokens$/

/** The tokens of a usage object of Anthropic, of a message or of one of its iterations. */
export function messageTokens(usage: JsonObject): Quantities {
  const written = countOf(usage.cache_creation_input_tokens)
  const split = objectOf(usage.cache_creation)
  let fiveMinutes = 0
  let hour = 0
  let other = 0
  for (const [name, value] of Object.entries(split)) {
    const lifetime = cacheLifetime.exec(name)?.[1]
    if (lifetime === '5m') fiveMinutes = countOf(value)
    else if (lifetime === '1h') hour = countOf(value)
    else if (lifetime !== undefined) other += countOf(value)
  }
  const output = countOf(usage.output_tokens)
  return {
    in_text: countOf(usage.input_tokens),
    in_cache_read: countOf(usage.cache_read_input_tokens),
    // What the split does not name was written for five minutes, the default.
    in_cache_write_5m: Math.max(fiveMinutes, written - hour - other),
    in_cache_write_1h: hour,
    in_cache_write_other: other,
    out_text: output,
    out_reasoning: Math.min(output, countOf(objectOf(usage.output_tokens_details).thinking_tokens)),
  }
}
