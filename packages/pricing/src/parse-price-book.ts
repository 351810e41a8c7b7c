import { quantityNames } from '@sluice/contracts'
import { list, PriceBookError, record } from './json-shape.ts'
import type { ModelMatch } from './model-match.ts'
import { type PriceBook, priceBookId } from './price-book.ts'

/**
 * Reads a book from its JSON text and checks every rate; with `expectedId`, also that the content is the one of that name.
 * @throws PriceBookError
 */
export function parsePriceBook(json: string, expectedId?: string): PriceBook {
  let data: unknown
  try {
    data = JSON.parse(json)
  } catch {
    throw new PriceBookError('not JSON')
  }
  checkPriceBook(data)
  if (expectedId !== undefined && priceBookId(data) !== expectedId)
    throw new PriceBookError(`content is not that of ${expectedId}`)
  return data
}

/** @throws PriceBookError naming the first wrong place */
export function checkPriceBook(data: unknown): asserts data is PriceBook {
  const book = record(data, 'book')
  if (book.format !== 1) throw new PriceBookError('format: not 1')
  if (book.project_id !== undefined && typeof book.project_id !== 'string')
    throw new PriceBookError('project_id: not text')
  for (const [provider, value] of Object.entries(record(book.providers, 'providers'))) {
    const prices = record(value, provider)
    for (const [index, row] of list(prices.models, `${provider}.models`).entries()) {
      const model = record(row, `${provider}.models[${index}]`)
      const at = `${provider}/${String(model.id)}`
      if (typeof model.id !== 'string' || model.id === '') throw new PriceBookError(`${at}: no id`)
      checkMatch(model.match, at)
      checkRates(model.rates, at)
      for (const variant of list(model.variants ?? [], `${at}.variants`)) {
        const fields = record(variant, `${at}.variants`)
        record(fields.when, `${at}.variants.when`)
        checkRates(fields.rates, `${at}.variants`)
      }
    }
    if (prices.defaults !== undefined) checkRates(prices.defaults, `${provider}.defaults`)
    for (const rule of list(prices.modifiers ?? [], `${provider}.modifiers`)) {
      const fields = record(rule, `${provider}.modifiers`)
      const at = `${provider}.modifiers.${String(fields.id)}`
      if (Object.keys(record(fields.when, at)).length === 0) throw new PriceBookError(`${at}: empty condition`)
      if (fields.match !== undefined) checkMatch(fields.match, at)
      const [numerator, denominator, ...more] = list(fields.ratio, `${at}.ratio`)
      if (!isCount(numerator) || !isCount(denominator) || denominator === 0 || more.length > 0)
        throw new PriceBookError(`${at}: ratio is not two integers`)
    }
  }
}

const names: ReadonlySet<string> = new Set(quantityNames)

function checkRates(value: unknown, at: string): void {
  for (const [name, entry] of Object.entries(record(value, at))) {
    if (!names.has(name)) throw new PriceBookError(`${at}: unknown quantity ${name}`)
    const rate = record(entry, `${at}.${name}`)
    if (!isCount(rate.base)) throw new PriceBookError(`${at}.${name}: not an integer of nano-USD per million`)
    let previous = -1
    for (const tier of list(rate.tiers ?? [], `${at}.${name}.tiers`)) {
      const { above_input_tokens: above, rate: tierRate } = record(tier, `${at}.${name}.tiers`)
      if (!isCount(above) || !isCount(tierRate) || above <= previous)
        throw new PriceBookError(`${at}.${name}: tiers are not ascending integers`)
      previous = above
    }
  }
}

function checkMatch(value: unknown, at: string): asserts value is ModelMatch {
  const [[kind, operand] = [], ...more] = Object.entries(record(value, `${at}.match`))
  if (more.length > 0) throw new PriceBookError(`${at}.match: more than one rule`)
  if (kind === 'or' || kind === 'and') {
    for (const part of list(operand, `${at}.match`)) checkMatch(part, at)
    return
  }
  if (
    !kind ||
    !['equals', 'versions_of', 'starts_with', 'ends_with', 'contains', 'regex'].includes(kind) ||
    typeof operand !== 'string'
  )
    throw new PriceBookError(`${at}.match: unknown rule`)
  if (kind !== 'regex') return
  try {
    new RegExp(operand)
  } catch {
    throw new PriceBookError(`${at}.match: not a regular expression`)
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
