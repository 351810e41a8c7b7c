import { informational, type Quantities, type QuantityName } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'

/** Lines of the provider's bill in the words of an event. */
const names: { readonly [item: string]: QuantityName } = {
  input_fresh: 'in_text',
  input_from_cache: 'in_cache_read',
  input_to_cache_5m: 'in_cache_write_5m',
  input_to_cache_1h: 'in_cache_write_1h',
  output: 'out_text',
  web_searches: 'web_search_calls',
  file_searches: 'file_search_calls',
  container_gb_minutes: 'code_container_gb_minutes',
  text_input: 'in_text',
  audio_input: 'in_audio',
  image_input: 'in_image',
  text_output: 'out_text',
  audio_output: 'out_audio',
  image_output: 'out_image',
  characters: 'chars_in',
  seconds: 'audio_ms_in',
  images: 'images',
  text_fresh: 'in_text',
  text_from_cache: 'in_cache_read',
  audio_fresh: 'in_audio',
  audio_from_cache: 'in_cache_read_audio',
}

/** What an event must say that is settled to this bill. */
export function billedQuantities(bill: BillRecord): Quantities {
  const quantities: Quantities = {}
  for (const { item, units } of bill.lines) {
    const name = names[item]
    if (name === undefined) throw new Error(`The bill has a line "${item}" that no quantity stands for.`)
    quantities[name] = (quantities[name] ?? 0) + (item === 'seconds' ? units * 1_000 : units)
  }
  return quantities
}

/** The quantities of an event that are priced. */
export function pricedQuantities(quantities: Quantities): Quantities {
  return Object.fromEntries(Object.entries(quantities).filter(([name]) => !informational.has(name as QuantityName)))
}
