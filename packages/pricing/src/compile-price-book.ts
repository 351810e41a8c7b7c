import { type QuantityName, quantityNames, type UsageModifiers } from '@sluice/contracts'
import { matchesModel } from './model-match.ts'
import {
  type ModelPrices,
  type ModifierRule,
  type PriceBook,
  type ProviderPrices,
  priceBookId,
  type Rate,
} from './price-book.ts'

/** A book made fast to ask: one look-up per call once a model has been seen. */
export interface CompiledPriceBook {
  readonly id: string
  /** The entry that speaks for this model; undefined: the book has no price for it. */
  find(provider: string, model: string): CompiledModel | undefined
  /** Ids of the provider's models, in the book's order. */
  listModels(provider: string): string[]
}

/** One quantity's rate under given modifiers, multiplier included. */
export interface ResolvedRate {
  base: number
  tiers: readonly { above_input_tokens: number; rate: number }[]
  numerator: number
  denominator: number
}

export interface ResolvedRates {
  rates: Partial<Record<QuantityName, ResolvedRate>>
  tiered: boolean
  /** Modifiers that change prices and of which the book knows nothing: `service_tier=turbo`. */
  unknownModifiers: readonly string[]
}

export class CompiledModel {
  readonly entry: ModelPrices
  readonly provider: ProviderPrices
  readonly #model: string
  readonly #resolved = new Map<string, ResolvedRates>()

  constructor(entry: ModelPrices, provider: ProviderPrices, model: string) {
    this.entry = entry
    this.provider = provider
    this.#model = model
  }

  /** Rates under these modifiers. `fallback`: whose rules apply where this book has none of its own. */
  resolve(modifiers: UsageModifiers, fallback?: CompiledModel): ResolvedRates {
    const signature = modifierSignature(modifiers)
    let resolved = this.#resolved.get(signature)
    if (!resolved) {
      const rules = this.provider.modifiers ?? fallback?.provider.modifiers ?? []
      resolved = resolveRates(this.entry, this.provider, rules, this.#model, modifiers)
      // Modifier values come from replies of providers: bounded, so that a hostile one cannot fill the memory.
      if (this.#resolved.size >= 256) this.#resolved.clear()
      this.#resolved.set(signature, resolved)
    }
    return resolved
  }
}

/** Prepares a book for {@link rate}. The book must not change afterwards. */
export function compilePriceBook(book: PriceBook, id: string = priceBookId(book)): CompiledPriceBook {
  const caches = new Map<string, Map<string, CompiledModel | undefined>>()
  for (const provider of Object.keys(book.providers)) caches.set(provider, new Map())
  return {
    id,
    listModels: provider => (book.providers[provider]?.models ?? []).map(model => model.id),
    find(provider, model) {
      const cache = caches.get(provider)
      if (!cache) return undefined
      const known = cache.get(model)
      if (known || cache.has(model)) return known
      const prices = book.providers[provider]
      const entry = prices?.models.find(candidate => matchesModel(candidate.match, model))
      const compiled = entry && prices ? new CompiledModel(entry, prices, model) : undefined
      // Model names come from clients.
      if (cache.size >= 4096) cache.clear()
      cache.set(model, compiled)
      return compiled
    },
  }
}

/** Where a model has no rate for a quantity, the rate of a quantity that providers bill it as. Audio has none: never as text. */
const billedAs: Partial<Record<QuantityName, readonly QuantityName[]>> = {
  in_image: ['in_text'],
  in_cache_read: ['in_text'],
  in_cache_read_audio: ['in_audio'],
  in_cache_read_image: ['in_cache_read', 'in_image', 'in_text'],
  in_cache_write_other: ['in_cache_write_5m', 'in_text'],
  out_image: ['out_text'],
}

const tokenPrefix = /^(in|out)_/

/** Values that mean "as listed". */
const listed: Partial<Record<keyof UsageModifiers, ReadonlySet<unknown>>> = {
  service_tier: new Set(['default', 'standard', 'auto', 'scale', '']),
  batch: new Set([false]),
  inference_geo: new Set(['global', 'not_available', '']),
  speed: new Set(['standard', '']),
  region: new Set(['']),
}
const priceModifiers = ['service_tier', 'batch', 'inference_geo', 'speed', 'region'] as const

function modifierSignature(m: UsageModifiers): string {
  return `${m.service_tier ?? ''}|${m.batch ?? ''}|${m.inference_geo ?? ''}|${m.speed ?? ''}|${m.region ?? ''}|${m.image_size ?? ''}|${m.image_quality ?? ''}`
}

function holds(when: UsageModifiers, modifiers: UsageModifiers): boolean {
  for (const key of Object.keys(when) as (keyof UsageModifiers)[]) if (modifiers[key] !== when[key]) return false
  return true
}

function resolveRates(
  entry: ModelPrices,
  provider: ProviderPrices,
  rules: readonly ModifierRule[],
  model: string,
  modifiers: UsageModifiers,
): ResolvedRates {
  const variant = entry.variants?.find(candidate => holds(candidate.when, modifiers))
  const answered = new Set<string>(Object.keys(variant?.when ?? {}))
  const batch = modifiers.batch === true || modifiers.service_tier === 'batch'
  const effective: UsageModifiers = batch ? { ...modifiers, batch: true, service_tier: '' } : modifiers
  let numerator = 1
  let denominator = 1
  const unknownModifiers: string[] = []
  for (const key of priceModifiers) {
    const value = effective[key]
    if (value === undefined || answered.has(key) || listed[key]?.has(value)) continue
    const rule = rules.find(
      candidate =>
        key in candidate.when &&
        holds(candidate.when, effective) &&
        (!candidate.match || matchesModel(candidate.match, model)),
    )
    if (!rule) {
      unknownModifiers.push(`${key}=${value}`)
      continue
    }
    numerator *= rule.ratio[0]
    denominator *= rule.ratio[1]
  }
  const own = { ...provider.defaults, ...entry.rates, ...variant?.rates }
  const rates: ResolvedRates['rates'] = {}
  let tiered = false
  for (const name of quantityNames) {
    const rate = rateFor(own, name)
    if (!rate) continue
    const ratio = tokenPrefix.test(name)
    const tiers = rate.tiers ?? []
    tiered ||= tiers.length > 0
    rates[name] = { base: rate.base, tiers, numerator: ratio ? numerator : 1, denominator: ratio ? denominator : 1 }
  }
  return { rates, tiered, unknownModifiers }
}

function rateFor(rates: Partial<Record<QuantityName, Rate>>, name: QuantityName): Rate | undefined {
  const own = rates[name]
  if (own) return own
  for (const other of billedAs[name] ?? []) if (rates[other]) return rates[other]
  return undefined
}
