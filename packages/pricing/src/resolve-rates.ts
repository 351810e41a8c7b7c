import { type QuantityName, quantityNames } from '@sluice/contracts'
import type { Rate, Rates } from './price-book.ts'
import type { ResolvedRatio } from './resolve-ratio.ts'

/** One quantity's rate under given modifiers, multiplier included. */
export interface ResolvedRate {
  base: number
  tiers: readonly { above_input_tokens: number; rate: number }[]
  numerator: number
  denominator: number
}

export interface ResolvedRates extends Pick<ResolvedRatio, 'unknownModifiers' | 'assumedRules'> {
  /** Rates of the quantity's own. */
  rates: Partial<Record<QuantityName, ResolvedRate>>
  /** For quantities without a rate of their own: that of the quantity providers bill them as. */
  billedAs: Partial<Record<QuantityName, ResolvedRate>>
}

/** Where a model has no rate for a quantity, the rate of a quantity that providers bill it as. Audio has none: never as text. */
const otherNames: Partial<Record<QuantityName, readonly QuantityName[]>> = {
  in_image: ['in_text'],
  in_cache_read: ['in_text'],
  in_cache_read_audio: ['in_audio'],
  in_cache_read_image: ['in_cache_read', 'in_image', 'in_text'],
  in_cache_write_other: ['in_cache_write_5m', 'in_text'],
  out_image: ['out_text'],
}

const tokenPrefix = /^(in|out)_/

/** Whether a quantity is tokens: only these are multiplied by ratios. */
export function isTokens(name: QuantityName): boolean {
  return tokenPrefix.test(name)
}

/** The rates of an entry with the ratio that its modifiers give: on tokens alone, calls and pieces are not discounted. */
export function resolveRates(own: Rates, ratio: ResolvedRatio): ResolvedRates {
  const { numerator, denominator, unknownModifiers, assumedRules } = ratio
  const resolved: ResolvedRates = { rates: {}, billedAs: {}, unknownModifiers, assumedRules }
  for (const name of quantityNames) {
    const rate = own[name] ?? rateOfOther(own, name)
    if (!rate) continue
    const scaled = isTokens(name)
    resolved[own[name] ? 'rates' : 'billedAs'][name] = {
      base: rate.base,
      tiers: rate.tiers ?? [],
      numerator: scaled ? numerator : 1,
      denominator: scaled ? denominator : 1,
    }
  }
  return resolved
}

/** The rate a quantity is billed at that has none of its own. */
export function rateOfOther(rates: Rates, name: QuantityName): Rate | undefined {
  for (const other of otherNames[name] ?? []) if (rates[other]) return rates[other]
  return undefined
}
