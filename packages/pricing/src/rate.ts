import {
  informational,
  type LineItem,
  type Quantities,
  type QuantityName,
  quantityNames,
  totalInputTokens,
  type UsageModifiers,
} from '@sluice/contracts'
import { findDearest, findRate, resolveBooks } from './find-rate.ts'
import { lineCost } from './half-even.ts'
import type { PriceBooks } from './price-books.ts'
import { isTokens, type ResolvedRate } from './resolve-rates.ts'

export interface RatedUsage {
  provider: string
  /** As served, else as requested. */
  model: string
  /** All quantities of the attempt, those in `parts` included. */
  quantities: Quantities
  modifiers: UsageModifiers
  /** Turns that are priced apart, each as its model and by its own input. */
  parts?: readonly { model: string; quantities: Quantities }[] | undefined
  /** What has no rate costs what the provider's dearest model takes for it; else it is left out of the cost. */
  assumeDearest?: boolean | undefined
}

export interface Rating {
  line_items: LineItem[]
  /** Σ of the lines, each rounded once, half to even. */
  cost_nano_usd: number
  /** False: something that was used has no rate; `unpriced` names it and the cost leaves it out. */
  priced: boolean
  unpriced: readonly string[]
  /** A rate or a ratio was assumed: `assumed_from` of the line names where it comes from. */
  assumed: boolean
}

const places: ReadonlyMap<string, number> = new Map(
  quantityNames.filter(name => !informational.has(name)).map((name, place) => [name, place]),
)
const nothing: readonly string[] = []

/** Rates one attempt. Pure: the same books and usage give the same lines, in the gateway and again in billing. */
export function rate(books: PriceBooks, usage: RatedUsage): Rating {
  const rating: Rating = { line_items: [], cost_nano_usd: 0, priced: true, unpriced: nothing, assumed: false }
  const { parts } = usage
  if (!parts || parts.length === 0) {
    addLines(rating, books, usage, usage.model, usage.quantities, undefined)
    return rating
  }
  const rest: Quantities = { ...usage.quantities }
  for (const part of parts)
    for (const name of quantityNames) {
      const value = part.quantities[name]
      if (value) rest[name] = Math.max(0, (rest[name] ?? 0) - value)
    }
  addLines(rating, books, usage, usage.model, rest, undefined)
  // Each part is a turn of its own model: its own input decides its tier.
  for (const { model, quantities } of parts) {
    const part = { model, turn: (rating.line_items.at(-1)?.turn ?? 0) + 1 }
    addLines(rating, books, usageOfPart(books, usage, model), model, quantities, part)
  }
  return rating
}

/** The tier that served a call is that of its own model: another one's tokens are in it only where that has a price there. */
function usageOfPart(books: PriceBooks, usage: RatedUsage, model: string): RatedUsage {
  const { service_tier: tier, ...modifiers } = usage.modifiers
  if (model === usage.model || tier === undefined || tier === 'batch') return usage
  const catalogue = books.book.find(usage.provider, model)
  const isNamed = [books.override?.find(usage.provider, model), catalogue].some(it => it?.namesTier(tier, catalogue))
  return isNamed ? usage : { ...usage, modifiers }
}

/** Whether a model has a rate for each of these quantities; the first that has none. */
export function findUnpriced(
  books: PriceBooks,
  provider: string,
  model: string,
  names: readonly QuantityName[],
): QuantityName | undefined {
  const { base, first } = resolveBooks(books, { provider, modifiers: {}, assumeDearest: false }, model)
  return names.find(name => findRate(first, base, name) === undefined)
}

/** Whose turn a line belongs to, where it is not the call's own model's. */
type PartOfLine = { model: string; turn: number }

function addLines(
  rating: Rating,
  books: PriceBooks,
  usage: RatedUsage,
  model: string,
  quantities: Quantities,
  part: PartOfLine | undefined,
): void {
  const { base, first, rules } = resolveBooks(books, usage, model)
  const inputTokens = totalInputTokens(quantities)
  let used = false
  for (const name of pricedNames(quantities)) {
    const quantity = quantities[name]
    if (quantity === undefined || quantity === 0) continue
    used = true
    let found = findRate(first, base, name)
    let from = rules.assumedRules.length > 0 && isTokens(name) ? rules.assumedRules.join(', ') : undefined
    if (!found && usage.assumeDearest) {
      const dearest = findDearest(books, usage, name)
      found = dearest?.rate
      from = dearest?.from
    }
    const lineRate = found ? tierRate(found, inputTokens) : 0
    const cost = found ? lineCost(quantity, lineRate, found.numerator, found.denominator) : Number.NaN
    if (!found || !Number.isSafeInteger(rating.cost_nano_usd + cost)) {
      addUnpriced(rating, part ? `${part.model}:${name}` : name)
      // Kept at zero for parts, so that the lines alone say which model a quantity belongs to.
      if (part) rating.line_items.push(line(name, quantity, 0, unchanged, part, 0))
      continue
    }
    rating.cost_nano_usd += cost
    const item = line(name, quantity, lineRate, found, part, cost)
    if (from !== undefined) {
      item.assumed_from = from
      rating.assumed = true
    }
    rating.line_items.push(item)
  }
  if (used) for (const modifier of rules.unknownModifiers) addUnpriced(rating, modifier)
}

/** The few of all names that a usage has and that have prices, in the order of all. */
function pricedNames(quantities: Quantities): QuantityName[] {
  const names: QuantityName[] = []
  let isSorted = true
  let last = -1
  for (const name in quantities) {
    const place = places.get(name)
    if (place === undefined) continue
    names.push(name as QuantityName)
    if (place < last) isSorted = false
    last = place
  }
  return isSorted ? names : names.sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0))
}

function tierRate(found: ResolvedRate, inputTokens: number): number {
  let chosen = found.base
  for (const tier of found.tiers) if (inputTokens > tier.above_input_tokens) chosen = tier.rate
  return chosen
}

const unchanged = { numerator: 1, denominator: 1 }

function line(
  name: QuantityName,
  quantity: number,
  lineRate: number,
  { numerator, denominator }: { numerator: number; denominator: number },
  part: PartOfLine | undefined,
  cost: number,
): LineItem {
  const item: LineItem = { quantity_name: name, quantity, rate_nano_usd_per_million: lineRate, cost_nano_usd: cost }
  if (numerator !== denominator) item.multiplier = [numerator, denominator]
  if (part) {
    item.model = part.model
    item.turn = part.turn
  }
  return item
}

function addUnpriced(rating: Rating, what: string): void {
  rating.priced = false
  if (!rating.unpriced.includes(what)) rating.unpriced = [...rating.unpriced, what]
}
