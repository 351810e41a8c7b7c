import { type BillLine, divideHalfEven } from '../cost.ts'

/** What one realtime turn or transcription used. All disjoint; sound that is written down by the minute is milliseconds. */
export interface RealtimeMetered {
  readonly text_fresh: number
  readonly text_from_cache: number
  readonly audio_fresh: number
  readonly audio_from_cache: number
  readonly image_fresh: number
  readonly image_from_cache: number
  readonly text_output: number
  readonly audio_output: number
  readonly audio_ms: number
}

export const NOTHING_SAID: RealtimeMetered = {
  text_fresh: 0,
  text_from_cache: 0,
  audio_fresh: 0,
  audio_from_cache: 0,
  image_fresh: 0,
  image_from_cache: 0,
  text_output: 0,
  audio_output: 0,
  audio_ms: 0,
}

/** Micro-USD per million units, as in `../prices.ts`, written by hand from the vendor's public page. */
type RealtimeRates = { readonly [Item in keyof RealtimeMetered]?: number }

export const REALTIME_PRICES: { readonly [model: string]: RealtimeRates } = {
  'gpt-realtime': {
    text_fresh: 4_000_000,
    text_from_cache: 400_000,
    audio_fresh: 32_000_000,
    audio_from_cache: 400_000,
    image_fresh: 5_000_000,
    image_from_cache: 500_000,
    text_output: 16_000_000,
    audio_output: 64_000_000,
  },
  'gpt-realtime-mini': {
    text_fresh: 600_000,
    text_from_cache: 60_000,
    audio_fresh: 10_000_000,
    audio_from_cache: 300_000,
    image_fresh: 800_000,
    image_from_cache: 80_000,
    text_output: 2_400_000,
    audio_output: 20_000_000,
  },
}

/** Models that write down what they hear. */
export const TRANSCRIPTION_PRICES: { readonly [model: string]: RealtimeRates } = {
  'gpt-4o-transcribe': { text_fresh: 2_500_000, audio_fresh: 6_000_000, text_output: 10_000_000 },
  'gpt-4o-mini-transcribe': { text_fresh: 1_250_000, audio_fresh: 3_000_000, text_output: 5_000_000 },
  // $0.006 a minute.
  'whisper-1': { audio_ms: 100_000 },
}

/** The lines of a turn's bill; each is rounded once. */
export function priceRealtime(rates: RealtimeRates, metered: RealtimeMetered): BillLine[] {
  const lines: BillLine[] = []
  for (const [item, units] of Object.entries(metered) as [keyof RealtimeMetered, number][]) {
    const rate = rates[item]
    if (units > 0 && rate !== undefined) lines.push({ item, units, nano_usd: divideHalfEven(units * rate, 1_000) })
  }
  return lines
}
