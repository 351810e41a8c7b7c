import type { Static } from 'typebox'
import { Type } from './type.ts'

/**
 * Every quantity a provider's reply can be reduced to. All are integers and disjoint, so that each meets one rate:
 * `in_text` never contains cached tokens, `out_text` never contains audio or image tokens.
 * The three in `informational` are already inside `out_text`: shown, never priced.
 */
export const quantityNames = [
  'in_text',
  'in_audio',
  'in_image',
  'in_cache_read',
  'in_cache_read_audio',
  'in_cache_read_image',
  'in_cache_write_5m',
  'in_cache_write_1h',
  'in_cache_write_other',
  'out_text',
  'out_reasoning',
  'out_audio',
  'out_image',
  'pred_accepted',
  'pred_rejected',
  'chars_in',
  'audio_ms_in',
  'audio_ms_out',
  'images',
  'web_search_calls',
  'web_fetch_calls',
  'file_search_calls',
  'code_container_sessions',
  'code_container_gb_minutes',
  'other_tool_calls',
] as const

export type QuantityName = (typeof quantityNames)[number]

/** Quantities that are parts of `out_text`, kept for reports. */
export const informational: ReadonlySet<QuantityName> = new Set(['out_reasoning', 'pred_accepted', 'pred_rejected'])

/** Where a number comes from. `drained`: measured after the client had gone. `reconciled`: replaced later by a measurement. */
export const Provenance = Type.Union([
  Type.Literal('measured'),
  Type.Literal('estimated'),
  Type.Literal('drained'),
  Type.Literal('reconciled'),
])
export type Provenance = Static<typeof Provenance>

const count = Type.Integer({ minimum: 0 })

/** Quantity name → integer. A name that is absent is zero. */
export const Quantities = Type.Partial(
  Type.Object(Object.fromEntries(quantityNames.map(name => [name, count])) as Record<QuantityName, typeof count>, {
    additionalProperties: false,
  }),
)
export type Quantities = Partial<Record<QuantityName, number>>

/** Quantity name → provenance, for each name that `Quantities` has. */
export const QuantityProvenance = Type.Partial(
  Type.Object(
    Object.fromEntries(quantityNames.map(name => [name, Provenance])) as Record<QuantityName, typeof Provenance>,
    { additionalProperties: false },
  ),
)
export type QuantityProvenance = Partial<Record<QuantityName, Provenance>>

/** What the provider says about how it served the call, where that changes the rate. Served values, never asked ones. */
export const UsageModifiers = Type.Partial(
  Type.Object({
    service_tier: Type.String(),
    batch: Type.Boolean(),
    inference_geo: Type.String(),
    speed: Type.String(),
    region: Type.String(),
    image_size: Type.String(),
    image_quality: Type.String(),
    /** `preview`: the tool for web search is the preview of it, which some models sell at another price. */
    web_search: Type.String(),
  }),
)
export type UsageModifiers = Static<typeof UsageModifiers>

/**
 * Input tokens of a call, cache reads and writes included: those of a `tokens` budget, and OpenTelemetry's
 * `gen_ai.usage.input_tokens`.
 */
export function totalInputTokens(quantities: Quantities): number {
  // Written out: with names from a list, each is looked up.
  return (
    (quantities.in_text ?? 0) +
    (quantities.in_audio ?? 0) +
    (quantities.in_image ?? 0) +
    (quantities.in_cache_read ?? 0) +
    (quantities.in_cache_read_audio ?? 0) +
    (quantities.in_cache_read_image ?? 0) +
    (quantities.in_cache_write_5m ?? 0) +
    (quantities.in_cache_write_1h ?? 0) +
    (quantities.in_cache_write_other ?? 0)
  )
}

/** Output tokens of a call, reasoning included. */
export function totalOutputTokens(quantities: Quantities): number {
  return (quantities.out_text ?? 0) + (quantities.out_audio ?? 0) + (quantities.out_image ?? 0)
}
