import type { UsageModifiers } from '@sluice/contracts'
import { matchesModel } from './model-match.ts'
import type { ModelPrices, ModifierRule, ProviderPrices } from './price-book.ts'
import { type ResolvedRates, resolveRates } from './resolve-rates.ts'
import { holds, resolveRatio } from './resolve-ratio.ts'

/** A model name and the entry that speaks for it. */
export class CompiledModel {
  readonly entry: ModelPrices
  readonly provider: ProviderPrices
  readonly #model: string
  /** By the rules that were applied: those of an override's catalogue change with the catalogue. */
  readonly #resolved = new WeakMap<readonly ModifierRule[], Map<string, ResolvedRates>>()

  constructor(entry: ModelPrices, provider: ProviderPrices, model: string) {
    this.entry = entry
    this.provider = provider
    this.#model = model
  }

  /**
   * Rates under these modifiers. `fallback`: whose rules apply where this book has none of its own. `assumeDearest`: for a
   * modifier without a rule, the highest ratio that another model or value has.
   */
  resolve(modifiers: UsageModifiers, fallback?: CompiledModel, assumeDearest = false): ResolvedRates {
    const rules = this.provider.modifiers ?? fallback?.provider.modifiers ?? noRules
    let byModifiers = this.#resolved.get(rules)
    if (!byModifiers) {
      byModifiers = new Map()
      this.#resolved.set(rules, byModifiers)
    }
    const signature = modifierSignature(modifiers, assumeDearest)
    let resolved = byModifiers.get(signature)
    if (!resolved) {
      const variant = this.entry.variants?.find(candidate => holds(candidate.when, modifiers))
      const answered = new Set(Object.keys(variant?.when ?? {}))
      const ratio = resolveRatio(rules, { model: this.#model, modifiers, answered, assumeDearest })
      resolved = resolveRates({ ...this.provider.defaults, ...this.entry.rates, ...variant?.rates }, ratio)
      // Modifier values come from replies of providers: bounded, so that a hostile one cannot fill the memory.
      if (byModifiers.size >= 256) byModifiers.clear()
      byModifiers.set(signature, resolved)
    }
    return resolved
  }

  /** Whether there is a price of this very model in a service tier: what holds for all models is not meant for its parts. */
  namesTier(tier: string, fallback?: CompiledModel): boolean {
    const rules = this.provider.modifiers ?? fallback?.provider.modifiers ?? noRules
    return (
      (this.entry.variants ?? []).some(({ when }) => when.service_tier === tier) ||
      rules.some(({ when, match }) => when.service_tier === tier && match && matchesModel(match, this.#model))
    )
  }
}

const noRules: readonly ModifierRule[] = []

function modifierSignature(m: UsageModifiers, assumeDearest: boolean): string {
  // Most replies tell their tier or nothing; with a bar in it, a tier could be taken for more than one.
  if (!assumeDearest && isTierAlone(m) && !m.service_tier?.includes('|')) return m.service_tier ?? ''
  return `${m.service_tier ?? ''}|${m.batch ?? ''}|${m.inference_geo ?? ''}|${m.speed ?? ''}|${m.region ?? ''}|${m.image_size ?? ''}|${m.image_quality ?? ''}|${m.web_search ?? ''}|${assumeDearest}`
}

function isTierAlone(modifiers: UsageModifiers): boolean {
  for (const name in modifiers) if (name !== 'service_tier') return false
  return true
}
