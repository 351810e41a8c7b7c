import type { Dialect, QuantityName, UsageModifiers } from '@sluice/contracts'
import { type CompiledPriceBook, findHighestRates, type HighestRates } from '@sluice/pricing'
import type { PriceBooksOfCall } from '../allow-model.ts'

/** What decides on a call's rates beside its model. */
export interface RateTerms {
  dialect: Dialect
  model: string
  /** As asked; undefined: the provider may choose. */
  tier: string | undefined
  geo: string | undefined
  speed: string | undefined
  /** For how long the request has its prompt kept. */
  cacheWrites: CacheWrites
  searchesByPreview: boolean
  inBatch: boolean
  assumeDearest: boolean
}

export type CacheWrites = 'none' | '5m' | '1h'

/** The dearest rates that a call can meet, in nano-USD for 10⁶ units. */
export interface CallRates {
  /** Of any token of the prompt that is text, from a cache or not. */
  inText: number
  inImage: number
  inAudio: number
  outText: number
  outAudio: number
  outImage: number
  webSearch: number
  webFetch: number
  fileSearch: number
  containerSession: number
  containerGbMinute: number
}

/** Rates of one model under one set of terms, for each range of input that has rates of its own. */
class RateCard {
  readonly #highest: HighestRates
  readonly #written: readonly QuantityName[]
  readonly #ranges: (CallRates | undefined)[] = []

  constructor(prices: PriceBooksOfCall, terms: RateTerms) {
    this.#highest = findHighestRates(prices, {
      provider: terms.dialect,
      model: terms.model,
      modifiers: waysToServe(terms),
      assumeDearest: terms.assumeDearest,
    })
    this.#written = writtenNames(terms)
  }

  /** @param inputTokens the most that the call may have */
  within(inputTokens: number): CallRates {
    const { thresholds } = this.#highest
    let range = 0
    while (range < thresholds.length && inputTokens > (thresholds[range] ?? 0)) range++
    let rates = this.#ranges[range]
    if (!rates) {
      rates = this.#read(range === 0 ? 0 : (thresholds[range - 1] ?? 0) + 1)
      this.#ranges[range] = rates
    }
    return rates
  }

  #read(inputTokens: number): CallRates {
    const of = (...names: QuantityName[]): number => Math.max(...names.map(name => this.#highest.of(name, inputTokens)))
    return {
      inText: of('in_text', 'in_cache_read', ...this.#written),
      inImage: of('in_image', 'in_text', 'in_cache_read_image', 'in_cache_read', ...this.#written),
      inAudio: of('in_audio', 'in_cache_read_audio'),
      outText: of('out_text'),
      outAudio: of('out_audio', 'out_text'),
      outImage: of('out_image', 'out_text'),
      webSearch: of('web_search_calls'),
      webFetch: of('web_fetch_calls'),
      fileSearch: of('file_search_calls'),
      containerSession: of('code_container_sessions'),
      containerGbMinute: of('code_container_gb_minutes'),
    }
  }
}

/** OpenAI writes its cache unasked, and charges for it where the model has a price for that. */
function writtenNames({ dialect, cacheWrites }: RateTerms): QuantityName[] {
  if (dialect === 'openai') return ['in_cache_write_other']
  if (cacheWrites === 'none') return []
  const brief: QuantityName[] = ['in_cache_write_5m', 'in_cache_write_other']
  return cacheWrites === '1h' ? [...brief, 'in_cache_write_1h'] : brief
}

/** A tier that is asked for may be denied; one that is not may be set for all calls at the provider, as may the place. */
function waysToServe(terms: RateTerms): UsageModifiers[] {
  const { dialect, tier, geo, speed, inBatch, searchesByPreview } = terms
  if (inBatch) return placesOf(terms).map(place => ({ ...place, batch: true }))
  const tiers = tier === undefined ? tiersOf[dialect] : [tier]
  const ways: UsageModifiers[] = []
  for (const place of dialect === 'anthropic' ? placesOf({ geo }) : [{}])
    for (const service_tier of [undefined, ...tiers])
      for (const fast of speed === undefined ? [undefined] : [undefined, speed])
        for (const web_search of searchesByPreview ? [undefined, 'preview'] : [undefined])
          ways.push({
            ...place,
            ...(service_tier !== undefined && { service_tier }),
            ...(fast !== undefined && { speed: fast }),
            ...(web_search !== undefined && { web_search }),
          })
  return ways
}

const tiersOf: Record<Dialect, readonly string[]> = { openai: ['flex', 'priority'], anthropic: ['priority'] }

/** Where nothing is asked, a workspace may keep its calls in the United States. */
function placesOf({ geo }: Pick<RateTerms, 'geo'>): UsageModifiers[] {
  return [{}, { inference_geo: geo ?? 'us' }]
}

const cards = new WeakMap<CompiledPriceBook, WeakMap<CompiledPriceBook, Map<string, RateCard>>>()
const noOverride = {} as CompiledPriceBook
/** Models and tiers come from clients. */
const mostCards = 4_096

/** The dearest rates of a call; those of a model are found once for each pair of books and set of terms. */
export function findCallRates(prices: PriceBooksOfCall, terms: RateTerms, inputTokens: number): CallRates {
  return cardOf(prices, terms).within(inputTokens)
}

/** The last card that was asked for: most calls that follow one another are of one kind. */
let last: { prices: PriceBooksOfCall; terms: RateTerms; card: RateCard } | undefined

function cardOf(prices: PriceBooksOfCall, terms: RateTerms): RateCard {
  if (last && isSamePair(last.prices, prices) && areSame(last.terms, terms)) return last.card
  const card = findCard(prices, terms)
  last = { prices, terms, card }
  return card
}

function isSamePair(one: PriceBooksOfCall, other: PriceBooksOfCall): boolean {
  return one.book === other.book && one.override === other.override
}

function areSame(one: RateTerms, other: RateTerms): boolean {
  return (
    one.model === other.model &&
    one.dialect === other.dialect &&
    one.tier === other.tier &&
    one.geo === other.geo &&
    one.speed === other.speed &&
    one.cacheWrites === other.cacheWrites &&
    one.searchesByPreview === other.searchesByPreview &&
    one.inBatch === other.inBatch &&
    one.assumeDearest === other.assumeDearest
  )
}

function findCard(prices: PriceBooksOfCall, terms: RateTerms): RateCard {
  let ofBook = cards.get(prices.book)
  if (!ofBook) {
    ofBook = new WeakMap()
    cards.set(prices.book, ofBook)
  }
  const override = prices.override ?? noOverride
  let ofPair = ofBook.get(override)
  if (!ofPair) {
    ofPair = new Map()
    ofBook.set(override, ofPair)
  }
  const key = keyOf(terms)
  let card = ofPair.get(key)
  if (!card) {
    if (ofPair.size >= mostCards) ofPair.clear()
    card = new RateCard(prices, terms)
    ofPair.set(key, card)
  }
  return card
}

function keyOf(terms: RateTerms): string {
  const { dialect, model, tier, geo, speed, cacheWrites, searchesByPreview, inBatch, assumeDearest } = terms
  // No name of a model has a line feed in it.
  const key = `${dialect}\n${model}\n${cacheWrites}`
  if (
    tier === undefined &&
    geo === undefined &&
    speed === undefined &&
    !searchesByPreview &&
    !inBatch &&
    !assumeDearest
  )
    return key
  return `${key}\n${JSON.stringify([tier, geo, speed, searchesByPreview, inBatch, assumeDearest])}`
}
