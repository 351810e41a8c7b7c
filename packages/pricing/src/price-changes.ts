import type { QuantityName } from '@sluice/contracts'
import type { CompiledPriceBook } from './compile-price-book.ts'
import { decimalText } from './decimal.ts'
import type { ModelPrices, PriceBook, Rates } from './price-book.ts'
import { quotedUnit } from './quoted-unit.ts'

/** One price that is another one, or is new, or is gone. */
export interface PriceChange {
  provider: string
  /** A model's id, `every model` for defaults, `ratio` for what modifiers do. */
  model: string
  /** A quantity, with its threshold where it has one; the id of a ratio. */
  price: string
  /** USD as decimal text, or a ratio. Absent: there was none. */
  before?: string
  after?: string
  unit?: string
  /** By how much the price rises, in tenths of a percent; negative: it falls. Absent where there was none, or nothing. */
  change_permille?: number
}

/** Every price of one book beside that of another, in the order of the later one. */
export function changesBetween(before: PriceBook | undefined, after: PriceBook): PriceChange[] {
  return compare(before ? listPrices(before) : new Map(), listPrices(after))
}

/** What a project's own book changes for the models it names: beside the catalogue and the project's book of before. */
export function changesOfOverride(
  catalogue: CompiledPriceBook,
  before: PriceBook | undefined,
  after: PriceBook,
): PriceChange[] {
  const below = new Map<string, Listed>()
  for (const book of [before, after])
    for (const [provider, prices] of Object.entries(book?.providers ?? {}))
      for (const model of prices.models) {
        const known = catalogue.find(provider, model.id)?.entry
        if (known) listModel(below, provider, { ...known, id: model.id })
      }
  return compare(layered(below, before), layered(below, after))
}

/** The catalogue's prices, and those of a project's book in the place of all that the catalogue has for the same quantity. */
function layered(below: ReadonlyMap<string, Listed>, book: PriceBook | undefined): Map<string, Listed> {
  const own = book ? listPrices(book) : new Map<string, Listed>()
  const replaced = new Set([...own.values()].map(({ provider, model, name }) => `${provider} ${model} ${name}`))
  const kept = [...below].filter(([, { provider, model, name }]) => !replaced.has(`${provider} ${model} ${name}`))
  return new Map([...own, ...kept])
}

interface Listed {
  provider: string
  model: string
  price: string
  /** Nano-USD per million units, or a ratio. */
  value: number | string
  name?: QuantityName
}

function listPrices(book: PriceBook): Map<string, Listed> {
  const listed = new Map<string, Listed>()
  for (const [provider, prices] of Object.entries(book.providers)) {
    for (const model of prices.models) listModel(listed, provider, model)
    listRates(listed, provider, 'every model', '', prices.defaults ?? {})
    for (const rule of prices.modifiers ?? [])
      add(listed, { provider, model: 'ratio', price: rule.id, value: `${rule.ratio[0]}/${rule.ratio[1]}` })
  }
  return listed
}

function listModel(listed: Map<string, Listed>, provider: string, model: ModelPrices): void {
  listRates(listed, provider, model.id, '', model.rates)
  for (const { when, rates } of model.variants ?? [])
    listRates(listed, provider, model.id, ` ${Object.values(when).join(' ')}`, rates)
}

function listRates(listed: Map<string, Listed>, provider: string, model: string, suffix: string, rates: Rates): void {
  for (const [key, rate] of Object.entries(rates)) {
    const name = key as QuantityName
    add(listed, { provider, model, price: `${name}${suffix}`, value: rate.base, name })
    for (const tier of rate.tiers ?? [])
      add(listed, {
        provider,
        model,
        price: `${name}${suffix} above ${tier.above_input_tokens} input tokens`,
        value: tier.rate,
        name,
      })
  }
}

function add(listed: Map<string, Listed>, price: Listed): void {
  const key = JSON.stringify([price.provider, price.model, price.price])
  // Of two entries of one name the first speaks.
  if (!listed.has(key)) listed.set(key, price)
}

function compare(before: Map<string, Listed>, after: Map<string, Listed>): PriceChange[] {
  const changes: PriceChange[] = []
  for (const [key, now] of after) {
    const was = before.get(key)
    if (was?.value !== now.value) changes.push(changeOf(now, was, now))
  }
  for (const [key, was] of before) if (!after.has(key)) changes.push(changeOf(was, was, undefined))
  return changes
}

function changeOf(of: Listed, was: Listed | undefined, now: Listed | undefined): PriceChange {
  const { provider, model, price, name } = of
  const change: PriceChange = { provider, model, price }
  if (was) change.before = textOf(was)
  if (now) change.after = textOf(now)
  if (name) change.unit = quotedUnit(name).text
  if (typeof was?.value === 'number' && typeof now?.value === 'number' && was.value > 0)
    change.change_permille = Number(((BigInt(now.value) - BigInt(was.value)) * 1000n) / BigInt(was.value))
  return change
}

/** The price as it is quoted: a rate is 10⁻¹⁵ USD a unit. */
function textOf({ value, name }: Listed): string {
  if (typeof value === 'string' || !name) return String(value)
  return decimalText(BigInt(value) * BigInt(quotedUnit(name).per), 15)
}
