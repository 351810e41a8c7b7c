import { type BillLine, divideHalfEven } from '../cost.ts'

/** What a call for sound or images used, in the simulator's own words; all disjoint. */
export interface MediaMetered {
  readonly text_input: number
  readonly audio_input: number
  readonly image_input: number
  readonly text_output: number
  readonly audio_output: number
  readonly image_output: number
  readonly characters: number
  /** Whole seconds of what was heard. */
  readonly seconds: number
  readonly images: number
}

export const NOTHING_MADE: MediaMetered = {
  text_input: 0,
  audio_input: 0,
  image_input: 0,
  text_output: 0,
  audio_output: 0,
  image_output: 0,
  characters: 0,
  seconds: 0,
  images: 0,
}

export type MediaKind = 'speech' | 'transcription' | 'image'

export interface MediaPrice {
  readonly kind: MediaKind
  /** Tokens: micro-USD per million, as in `../prices.ts`. */
  readonly tokens?: { readonly [Item in keyof MediaMetered]?: number }
  /** Micro-USD per million characters. */
  readonly characters?: number
  /** Nano-USD per second of sound. */
  readonly second?: number
  /** Nano-USD per image, by quality and size. */
  readonly image?: (quality: string, size: string) => number
  readonly snapshots: readonly string[]
}

/** Written by hand from the vendor's public pages; it shares nothing with the prices under test. */
export const MEDIA_PRICES: { readonly [model: string]: MediaPrice } = {
  'tts-1': { kind: 'speech', characters: 15_000_000, snapshots: ['tts-1-1106'] },
  'tts-1-hd': { kind: 'speech', characters: 30_000_000, snapshots: ['tts-1-hd-1106'] },
  'gpt-4o-mini-tts': {
    kind: 'speech',
    tokens: { text_input: 600_000, audio_output: 12_000_000 },
    snapshots: ['gpt-4o-mini-tts-2025-12-15'],
  },
  // $0.006 a minute.
  'whisper-1': { kind: 'transcription', second: 100_000, snapshots: [] },
  // $0.27 an hour.
  'gpt-transcribe': { kind: 'transcription', second: 75_000, snapshots: [] },
  'gpt-4o-transcribe': {
    kind: 'transcription',
    tokens: { text_input: 2_500_000, audio_input: 6_000_000, text_output: 10_000_000 },
    snapshots: [],
  },
  'gpt-4o-mini-transcribe': {
    kind: 'transcription',
    tokens: { text_input: 1_250_000, audio_input: 3_000_000, text_output: 5_000_000 },
    snapshots: ['gpt-4o-mini-transcribe-2025-12-15'],
  },
  'gpt-image-1.5': {
    kind: 'image',
    tokens: { text_input: 5_000_000, image_input: 8_000_000, image_output: 32_000_000 },
    snapshots: ['gpt-image-1.5-2025-12-16'],
  },
  'gpt-image-1-mini': {
    kind: 'image',
    tokens: { text_input: 2_000_000, image_input: 2_500_000, image_output: 8_000_000 },
    snapshots: [],
  },
  'gpt-image-2.6-sunburst': {
    kind: 'image',
    tokens: { text_input: 5_000_000, image_input: 8_000_000, image_output: 30_000_000 },
    snapshots: [],
  },
  'dall-e-2': {
    kind: 'image',
    image: (_quality, size) => (size === '256x256' ? 16_000_000 : size === '512x512' ? 18_000_000 : 20_000_000),
    snapshots: [],
  },
  'dall-e-3': {
    kind: 'image',
    image: (quality, size) => {
      const wide = size !== '1024x1024'
      if (quality === 'hd') return wide ? 120_000_000 : 80_000_000
      return wide ? 80_000_000 : 40_000_000
    },
    snapshots: [],
  },
}

const byName = new Map<string, { readonly model: string; readonly price: MediaPrice }>()
for (const [model, price] of Object.entries(MEDIA_PRICES)) {
  for (const name of [model, ...price.snapshots]) byName.set(name, { model, price })
}

/** The model behind a name or a dated name. */
export function findMediaModel(name: string): { readonly model: string; readonly price: MediaPrice } | undefined {
  return byName.get(name)
}

/** The lines of a bill for sound or images; each is rounded once, half to even. */
export function priceMedia(
  price: MediaPrice,
  metered: MediaMetered,
  made: { readonly quality: string; readonly size: string },
): BillLine[] {
  const lines: BillLine[] = []
  const add = (item: keyof MediaMetered, nanoUsd: (units: number) => number) => {
    const units = metered[item]
    if (units > 0) lines.push({ item, units, nano_usd: nanoUsd(units) })
  }
  for (const [item, rate] of Object.entries(price.tokens ?? {}) as [keyof MediaMetered, number][])
    add(item, units => divideHalfEven(units * rate, 1_000))
  const { characters, second, image } = price
  if (characters !== undefined) add('characters', units => divideHalfEven(units * characters, 1_000))
  if (second !== undefined) add('seconds', units => units * second)
  if (image !== undefined) add('images', units => units * image(made.quality, made.size))
  return lines
}
