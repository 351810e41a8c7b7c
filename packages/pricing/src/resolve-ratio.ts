import type { UsageModifiers } from '@sluice/contracts'
import { matchesModel } from './model-match.ts'
import type { ModifierRule } from './price-book.ts'

/** What modifiers do to the rates of tokens: one ratio. */
export interface ResolvedRatio {
  numerator: number
  denominator: number
  /** Modifiers that change prices and of which the rules say nothing: `service_tier=turbo`. */
  unknownModifiers: readonly string[]
  /** Rules of other models or values whose ratio was taken, where that was asked for. */
  assumedRules: readonly string[]
}

/** Values that mean "as listed". */
const listed: Partial<Record<keyof UsageModifiers, ReadonlySet<unknown>>> = {
  service_tier: new Set(['default', 'standard', 'auto', 'scale', '']),
  batch: new Set([false]),
  inference_geo: new Set(['global', 'not_available', '']),
  speed: new Set(['standard', '']),
  region: new Set(['']),
}
const priceModifiers = ['service_tier', 'batch', 'inference_geo', 'speed', 'region'] as const
type PriceModifier = (typeof priceModifiers)[number]

/**
 * Multiplies the ratios of all modifiers that hold. `answered`: modifiers that a variant of the model has a price for.
 * `assumeDearest`: a modifier without a rule takes the highest ratio that its value, else any value, has anywhere.
 */
export function resolveRatio(
  rules: readonly ModifierRule[],
  usage: { model: string; modifiers: UsageModifiers; answered: ReadonlySet<string>; assumeDearest: boolean },
): ResolvedRatio {
  const { modifiers } = usage
  const isBatch = modifiers.batch === true || modifiers.service_tier === 'batch'
  const effective: UsageModifiers = isBatch ? { ...modifiers, batch: true, service_tier: '' } : modifiers
  let numerator = 1
  let denominator = 1
  const unknownModifiers: string[] = []
  const assumedRules: string[] = []
  for (const key of priceModifiers) {
    const value = effective[key]
    if (value === undefined || usage.answered.has(key) || listed[key]?.has(value)) continue
    let rule: Pick<ModifierRule, 'id' | 'ratio'> | undefined = rules.find(
      candidate =>
        key in candidate.when &&
        holds(candidate.when, effective) &&
        (!candidate.match || matchesModel(candidate.match, usage.model)),
    )
    if (!rule && usage.assumeDearest) {
      rule = findDearestRule(rules, key, value)
      if (rule) assumedRules.push(rule.id)
    }
    if (!rule) {
      unknownModifiers.push(`${key}=${value}`)
      continue
    }
    numerator *= rule.ratio[0]
    denominator *= rule.ratio[1]
  }
  return { numerator, denominator, unknownModifiers, assumedRules }
}

/** The highest ratio among the rules of this value, else of any value; a discount of others is never assumed. */
function findDearestRule(
  rules: readonly ModifierRule[],
  key: PriceModifier,
  value: unknown,
): Pick<ModifierRule, 'id' | 'ratio'> | undefined {
  const ofKey = rules.filter(rule => key in rule.when)
  const ofValue = ofKey.filter(rule => rule.when[key] === value)
  const [first, ...others] = ofValue.length > 0 ? ofValue : ofKey
  if (!first) return undefined
  const dearest = others.reduce((highest, rule) => (isDearer(rule.ratio, highest.ratio) ? rule : highest), first)
  return isDearer(dearest.ratio, asListed) ? dearest : { id: dearest.id, ratio: asListed }
}

const asListed: [number, number] = [1, 1]

function isDearer([a, b]: readonly [number, number], [c, d]: readonly [number, number]): boolean {
  return BigInt(a) * BigInt(d) > BigInt(c) * BigInt(b)
}

/** Whether everything that `when` asks for is so. */
export function holds(when: UsageModifiers, modifiers: UsageModifiers): boolean {
  for (const key of Object.keys(when) as (keyof UsageModifiers)[]) if (modifiers[key] !== when[key]) return false
  return true
}
