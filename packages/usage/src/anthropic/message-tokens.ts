import type { Quantities } from '@sluice/contracts'
import { countOf, type JsonObject, objectOf } from '../json-fields.ts'

const told: ReadonlySet<string> = new Set(['ephemeral_5m_input_tokens', 'ephemeral_1h_input_tokens'])
const otherLifetime = /^ephemeral_.{1,16}_input_tokens$/

/** The tokens of a usage object of Anthropic, of a message or of one of its iterations. */
export function messageTokens(usage: JsonObject): Quantities {
  const written = countOf(usage.cache_creation_input_tokens)
  const split = objectOf(usage.cache_creation)
  const fiveMinutes = countOf(split.ephemeral_5m_input_tokens)
  const hour = countOf(split.ephemeral_1h_input_tokens)
  let other = 0
  for (const name in split) if (!told.has(name) && otherLifetime.test(name)) other += countOf(split[name])
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
