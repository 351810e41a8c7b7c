import type { QuantityName, UsageModifiers } from '@sluice/contracts'
import type { ModelMatch } from './model-match.ts'

/** A price as its source prints it. */
export interface UsdPrice {
  usd: string
  /** Units the price is for. */
  per: number
}

/** What the catalogue lacks, each row with where it was read and when. */
export interface Supplement {
  models: {
    provider: string
    id: string
    match: ModelMatch
    rates: Partial<Record<QuantityName, UsdPrice>>
    variants?: { when: UsageModifiers; rates: Partial<Record<QuantityName, UsdPrice>> }[]
    source: string
    date: string
  }[]
  /** For models that the catalogue has: rates in place of its own, or while `when` holds. */
  additions: {
    provider: string
    match: ModelMatch
    when?: UsageModifiers
    rates: Partial<Record<QuantityName, UsdPrice>>
    source: string
    date: string
  }[]
  /** For every model of the provider that has no rate of its own for the quantity. */
  defaults: {
    provider: string
    quantity: QuantityName
    price: UsdPrice
    /** The day it came into force, and the day it ended; always, where neither is named. */
    from?: string
    until?: string
    source: string
    date: string
  }[]
  modifiers: {
    provider: string
    id: string
    when: UsageModifiers
    match?: ModelMatch
    ratio: [number, number]
    source: string
    date: string
  }[]
}

const openaiPricing = 'https://developers.openai.com/api/docs/pricing'
const openaiPriority = 'https://openai.com/api-priority-processing/'
const openaiContainerChange = 'https://developers.openai.com/api/docs/changelog'
const claudePricing = 'https://platform.claude.com/docs/en/about-claude/pricing'

/** Containers are sold by the minute, for at least five minutes, since this day. */
const perMinuteContainers = '2026-06-02'

const each = (usd: string): UsdPrice => ({ usd, per: 1 })
const perMillion = (usd: string): UsdPrice => ({ usd, per: 1_000_000 })
const perThousand = (usd: string): UsdPrice => ({ usd, per: 1000 })

/** The name itself, or the name with a date behind it. */
const named = (...names: string[]): ModelMatch => ({
  or: names.map(name => ({ regex: `^${name.replaceAll('.', '\\.')}(-\\d{4}-\\d{2}-\\d{2})?$` })),
})

const imageVariant = (size: string, quality: string | undefined, usd: string) => ({
  when: { image_size: size, ...(quality !== undefined && { image_quality: quality }) },
  rates: { images: each(usd) },
})

/** It puts out images alone. */
const imageTokens = {
  in_text: perMillion('5'),
  in_cache_read: perMillion('1.25'),
  in_image: perMillion('8'),
  in_cache_read_image: perMillion('2'),
  out_image: perMillion('30'),
}

export const supplement: Supplement = {
  models: [
    {
      provider: 'openai',
      id: 'tts-1',
      match: named('tts-1', 'tts-1-1106'),
      rates: { chars_in: perMillion('15') },
      source: 'https://developers.openai.com/api/docs/models/tts-1',
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'tts-1-hd',
      match: named('tts-1-hd', 'tts-1-hd-1106'),
      rates: { chars_in: perMillion('30') },
      source: 'https://developers.openai.com/api/docs/models/tts-1-hd',
      date: '2026-11-23',
    },
    {
      // The catalogue has its output as text; what it speaks is sound.
      provider: 'openai',
      id: 'gpt-4o-mini-tts',
      match: named('gpt-4o-mini-tts'),
      rates: { in_text: perMillion('0.6'), out_audio: perMillion('12') },
      source: 'https://developers.openai.com/api/docs/models/gpt-4o-mini-tts',
      date: '2026-11-25',
    },
    {
      // The catalogue knows the undated name alone.
      provider: 'openai',
      id: 'gpt-4o-mini-transcribe',
      match: named('gpt-4o-mini-transcribe'),
      rates: { in_text: perMillion('1.25'), in_audio: perMillion('3'), out_text: perMillion('5') },
      source: 'https://developers.openai.com/api/docs/models/gpt-4o-mini-transcribe',
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'gpt-image-2.6',
      match: named('gpt-image-2.6-sunburst', 'gpt-image-2.6-flare'),
      rates: imageTokens,
      source: 'https://developers.openai.com/de-DE/api/docs/models/gpt-image-2.6-sunburst',
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'chatgpt-image-latest',
      match: { equals: 'chatgpt-image-latest' },
      rates: {
        in_text: perMillion('5'),
        in_cache_read: perMillion('1.25'),
        in_image: perMillion('8'),
        in_cache_read_image: perMillion('2'),
        out_text: perMillion('10'),
        out_image: perMillion('32'),
      },
      source: 'https://developers.openai.com/api/docs/models/chatgpt-image-latest',
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'dall-e-3',
      match: { equals: 'dall-e-3' },
      rates: { images: each('0.04') },
      variants: [
        imageVariant('1024x1024', 'hd', '0.08'),
        imageVariant('1024x1792', 'hd', '0.12'),
        imageVariant('1792x1024', 'hd', '0.12'),
        imageVariant('1024x1792', undefined, '0.08'),
        imageVariant('1792x1024', undefined, '0.08'),
      ],
      source: 'https://developers.openai.com/api/docs/models/dall-e-3',
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'dall-e-2',
      match: { equals: 'dall-e-2' },
      rates: { images: each('0.02') },
      variants: [imageVariant('512x512', undefined, '0.018'), imageVariant('256x256', undefined, '0.016')],
      source: 'https://developers.openai.com/api/docs/models/dall-e-2',
      date: '2026-11-23',
    },
    {
      // They search for every answer, at the price of the earlier search tool; what a search finds is not charged as input.
      provider: 'openai',
      id: 'gpt-4o-search-preview',
      match: named('gpt-4o-search-preview'),
      rates: { in_text: perMillion('2.5'), out_text: perMillion('10'), web_search_calls: perThousand('25') },
      source: openaiPricing,
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'gpt-4o-mini-search-preview',
      match: named('gpt-4o-mini-search-preview'),
      rates: { in_text: perMillion('0.15'), out_text: perMillion('0.6'), web_search_calls: perThousand('25') },
      source: openaiPricing,
      date: '2026-11-25',
    },
    {
      // Moderation is free of charge: a row at zero keeps it from counting as unpriced.
      provider: 'openai',
      id: 'omni-moderation',
      match: { or: [{ starts_with: 'omni-moderation' }, { starts_with: 'text-moderation' }] },
      rates: { in_text: perMillion('0') },
      source: 'https://developers.openai.com/api/docs/guides/moderation',
      date: '2026-11-23',
    },
  ],
  additions: [
    {
      // Where a model does not reason, what the preview of the tool finds is not charged, and each search costs more.
      provider: 'openai',
      match: named('gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-4.1-mini'),
      when: { web_search: 'preview' },
      rates: { web_search_calls: perThousand('25') },
      source: openaiPricing,
      date: '2026-11-26',
    },
    // What a search finds is charged as 8,000 tokens of input, whatever it is: here with the search.
    {
      provider: 'openai',
      match: named('gpt-4o-mini'),
      rates: { web_search_calls: perThousand('11.2') },
      source: openaiPricing,
      date: '2026-11-26',
    },
    {
      provider: 'openai',
      match: named('gpt-4.1-mini'),
      rates: { web_search_calls: perThousand('13.2') },
      source: openaiPricing,
      date: '2026-11-26',
    },
  ],
  defaults: [
    {
      provider: 'openai',
      quantity: 'web_search_calls',
      price: perThousand('10'),
      source: openaiPricing,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      quantity: 'file_search_calls',
      price: perThousand('2.5'),
      source: openaiPricing,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      quantity: 'code_container_sessions',
      price: each('0.03'),
      until: perMinuteContainers,
      source: openaiPricing,
      date: '2026-11-23',
    },
    {
      // Sold by the minute since: the session itself costs nothing any more.
      provider: 'openai',
      quantity: 'code_container_sessions',
      price: each('0'),
      from: perMinuteContainers,
      source: openaiContainerChange,
      date: '2026-11-26',
    },
    {
      provider: 'openai',
      quantity: 'code_container_gb_minutes',
      price: each('0'),
      until: perMinuteContainers,
      source: openaiPricing,
      date: '2026-11-26',
    },
    {
      // 20 minutes of 1, 4, 16 and 64 GB are $0.03, $0.12, $0.48 and $1.92.
      provider: 'openai',
      quantity: 'code_container_gb_minutes',
      price: each('0.0015'),
      from: perMinuteContainers,
      source: openaiContainerChange,
      date: '2026-11-26',
    },
    {
      provider: 'anthropic',
      quantity: 'web_search_calls',
      price: perThousand('10'),
      source: claudePricing,
      date: '2026-11-23',
    },
    {
      // A fetched page costs its tokens and nothing else.
      provider: 'anthropic',
      quantity: 'web_fetch_calls',
      price: perThousand('0'),
      source: claudePricing,
      date: '2026-11-23',
    },
  ],
  modifiers: [
    {
      provider: 'openai',
      id: 'batch',
      when: { batch: true },
      ratio: [1, 2],
      source: openaiPricing,
      date: '2026-11-23',
    },
    // Pictures that a response in another tier has drawn cost what they cost: image models are sold in none.
    ...['flex', 'priority'].map(tier => ({
      provider: 'openai',
      id: `${tier}-images`,
      when: { service_tier: tier },
      match: { or: [{ starts_with: 'gpt-image-' }, { starts_with: 'chatgpt-image-' }] },
      ratio: [1, 1] as [number, number],
      source: openaiPricing,
      date: '2026-11-26',
    })),
    {
      provider: 'openai',
      id: 'flex',
      when: { service_tier: 'flex' },
      ratio: [1, 2],
      source: openaiPricing,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-5.5',
      when: { service_tier: 'priority' },
      match: named('gpt-5.5'),
      ratio: [5, 2],
      source: openaiPriority,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-5-mini',
      when: { service_tier: 'priority' },
      match: named('gpt-5-mini'),
      ratio: [9, 5],
      source: openaiPriority,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'priority-double',
      when: { service_tier: 'priority' },
      match: named('gpt-5.4', 'gpt-5.4-mini', 'gpt-5.2', 'gpt-5.1', 'gpt-5', 'gpt-5.1-codex', 'gpt-5-codex'),
      ratio: [2, 1],
      source: openaiPriority,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-4.1',
      when: { service_tier: 'priority' },
      match: named('gpt-4.1'),
      ratio: [7, 4],
      source: openaiPriority,
      date: '2026-11-23',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-4.1-mini',
      when: { service_tier: 'priority' },
      match: named('gpt-4.1-mini', 'o3'),
      ratio: [7, 4],
      source: openaiPriority,
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-4.1-nano',
      when: { service_tier: 'priority' },
      match: named('gpt-4.1-nano'),
      ratio: [2, 1],
      source: openaiPriority,
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-4o',
      when: { service_tier: 'priority' },
      match: named('gpt-4o'),
      ratio: [17, 10],
      source: openaiPriority,
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'priority-gpt-4o-mini',
      when: { service_tier: 'priority' },
      match: named('gpt-4o-mini'),
      ratio: [5, 3],
      source: openaiPriority,
      date: '2026-11-25',
    },
    {
      provider: 'openai',
      id: 'priority-o4-mini',
      when: { service_tier: 'priority' },
      match: named('o4-mini'),
      ratio: [20, 11],
      source: openaiPriority,
      date: '2026-11-25',
    },
    {
      provider: 'anthropic',
      id: 'batch',
      when: { batch: true },
      ratio: [1, 2],
      source: claudePricing,
      date: '2026-11-23',
    },
    {
      // Committed capacity is bought apart; tokens served from it are costed at list.
      provider: 'anthropic',
      id: 'priority',
      when: { service_tier: 'priority' },
      ratio: [1, 1],
      source: 'https://platform.claude.com/docs/en/api/service-tiers',
      date: '2026-11-23',
    },
    {
      provider: 'anthropic',
      id: 'us-inference',
      when: { inference_geo: 'us' },
      ratio: [11, 10],
      source: 'https://platform.claude.com/docs/en/manage-claude/data-residency',
      date: '2026-11-23',
    },
    {
      provider: 'anthropic',
      id: 'fast-opus-4-6',
      when: { speed: 'fast' },
      match: { or: [{ starts_with: 'claude-opus-4-6' }, { starts_with: 'claude-opus-4-7' }] },
      ratio: [6, 1],
      source: 'https://platform.claude.com/docs/en/build-with-claude/fast-mode',
      date: '2026-11-23',
    },
    {
      provider: 'anthropic',
      id: 'fast-opus-5',
      when: { speed: 'fast' },
      match: { or: [{ regex: '^claude-opus-5(-5)?(-\\d{8})?$' }, { starts_with: 'claude-opus-4-8' }] },
      ratio: [2, 1],
      source: 'https://platform.claude.com/docs/en/build-with-claude/fast-mode',
      date: '2026-11-25',
    },
  ],
}
