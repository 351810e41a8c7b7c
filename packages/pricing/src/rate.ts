import {
  informational,
  type LineItem,
  type Quantities,
  type QuantityName,
  quantityNames,
  totalInputTokens,
  type UsageModifiers,
} from '@sluice/contracts'
import type { CompiledPriceBook, ResolvedRates } from './compile-price-book.ts'
import { lineCost } from './half-even.ts'

/** The catalogue, and a project's own book that is asked first, quantity by quantity. */
export interface PriceBooks {
  book: CompiledPriceBook
  override?: CompiledPriceBook | undefined
}

export interface RatedUsage {
  provider: string
  /** As served, else as requested. */
  model: string
  /** All quantities of the attempt, those in `parts` included. */
  quantities: Quantities
  modifiers: UsageModifiers
  /** Quantities that another model than the call's produced, priced as that model. */
  parts?: readonly { model: string; quantities: Quantities }[] | undefined
}

export interface Rating {
  line_items: LineItem[]
  /** Σ of the lines, each rounded once, half to even. */
  cost_nano_usd: number
  /** False: something that was used has no rate; `unpriced` names it and the cost leaves it out. */
  priced: boolean
  unpriced: readonly string[]
}

const priceable = quantityNames.filter(name => !informational.has(name))
const nothing: readonly string[] = []
const noRates: ResolvedRates = { rates: {}, tiered: false, unknownModifiers: [] }

/** Rates one attempt. Pure: the same books and usage give the same lines, in the gateway and again in billing. */
export function rate(books: PriceBooks, usage: RatedUsage): Rating {
  const rating: Mutable = { line_items: [], cost_nano_usd: 0, priced: true, unpriced: nothing }
  const { parts } = usage
  if (!parts || parts.length === 0) {
    addLines(rating, books, usage, usage.model, usage.quantities, undefined, totalInputTokens(usage.quantities))
    return rating
  }
  const rest: Quantities = { ...usage.quantities }
  for (const part of parts)
    for (const name of quantityNames) {
      const value = part.quantities[name]
      if (value) rest[name] = Math.max(0, (rest[name] ?? 0) - value)
    }
  addLines(rating, books, usage, usage.model, rest, undefined, totalInputTokens(rest))
  // Each part is a turn of its own model: its own input decides its tier.
  for (const part of parts)
    addLines(rating, books, usage, part.model, part.quantities, part.model, totalInputTokens(part.quantities))
  return rating
}

interface Mutable extends Rating {
  unpriced: readonly string[]
}

function addLines(
  rating: Mutable,
  books: PriceBooks,
  usage: RatedUsage,
  model: string,
  quantities: Quantities,
  lineModel: string | undefined,
  inputTokens: number,
): void {
  const catalogue = books.book.find(usage.provider, model)
  const overriding = books.override?.find(usage.provider, model)
  const base = catalogue ? catalogue.resolve(usage.modifiers) : noRates
  const first = overriding ? overriding.resolve(usage.modifiers, catalogue) : noRates
  let used = false
  for (const name of priceable) {
    const quantity = quantities[name]
    if (quantity === undefined || quantity === 0) continue
    used = true
    const found = first.rates[name] ?? base.rates[name]
    const cost = found
      ? lineCost(quantity, tierRate(found, inputTokens), found.numerator, found.denominator)
      : Number.NaN
    if (!found || !Number.isSafeInteger(rating.cost_nano_usd + cost)) {
      addUnpriced(rating, lineModel === undefined ? name : `${lineModel}:${name}`)
      // Kept at zero for parts, so that the lines alone say which model a quantity belongs to.
      if (lineModel !== undefined) rating.line_items.push(line(name, quantity, 0, 1, 1, lineModel, 0))
      continue
    }
    rating.cost_nano_usd += cost
    rating.line_items.push(
      line(name, quantity, tierRate(found, inputTokens), found.numerator, found.denominator, lineModel, cost),
    )
  }
  const unknown = (overriding && books.override ? first : base).unknownModifiers
  if (used && unknown.length > 0) for (const modifier of unknown) addUnpriced(rating, modifier)
}

function tierRate(found: NonNullable<ResolvedRates['rates'][QuantityName]>, inputTokens: number): number {
  let chosen = found.base
  for (const tier of found.tiers) if (inputTokens > tier.above_input_tokens) chosen = tier.rate
  return chosen
}

function line(
  name: QuantityName,
  quantity: number,
  lineRate: number,
  numerator: number,
  denominator: number,
  model: string | undefined,
  cost: number,
): LineItem {
  const item: LineItem = { quantity_name: name, quantity, rate_nano_usd_per_million: lineRate, cost_nano_usd: cost }
  if (numerator !== denominator) item.multiplier = [numerator, denominator]
  if (model !== undefined) item.model = model
  return item
}

function addUnpriced(rating: Mutable, what: string): void {
  rating.priced = false
  if (!rating.unpriced.includes(what)) rating.unpriced = [...rating.unpriced, what]
}
