import { type QuantityName, quantityNames, type UsageModifiers } from '@sluice/contracts'
import { isDatedNameOf } from './dated-name.ts'
import { rateFromUsd } from './decimal.ts'
import { list, PriceBookError, record } from './json-shape.ts'
import type { ModelMatch } from './model-match.ts'
import type { ModelPrices, ModifierRule, PriceBook, ProviderPrices, Rates } from './price-book.ts'
import { quotedUnit } from './quoted-unit.ts'

/**
 * Reads prices as a person writes them: USD as decimal text, per million tokens or characters, per minute of sound, each for
 * all else. Every field is known or refused.
 * @throws PriceBookError naming the first wrong place
 */
export function readPriceFile(data: unknown): PriceBook {
  const file = fieldsOf(data, 'file', ['source', 'providers'])
  const source = textOf(file.source, 'source')
  const book: PriceBook = { format: 1, providers: {} }
  for (const [provider, value] of Object.entries(record(file.providers, 'providers'))) {
    if (!providers.has(provider)) throw new PriceBookError(`${provider}: not a provider; known: openai, anthropic`)
    book.providers[provider] = readProvider(value, provider, source)
  }
  if (Object.keys(book.providers).length === 0) throw new PriceBookError('providers: none is named')
  return book
}

const providers: ReadonlySet<string> = new Set(['openai', 'anthropic'])
/** A book is asked on each call and kept by each gateway. */
const maxModels = 1000
const maxNames = 50

function readProvider(value: unknown, at: string, source: string): ProviderPrices {
  const fields = fieldsOf(value, at, ['models', 'defaults', 'ratios'])
  const rows = list(fields.models ?? [], `${at}.models`)
  if (rows.length > maxModels) throw new PriceBookError(`${at}.models: more than ${maxModels}`)
  const models = rows.map((row, index) => readModel(row, `${at}.models[${index}]`, source))
  const prices: ProviderPrices = { models: versionsFirst(models) }
  const ids = new Set<string>()
  for (const { id } of prices.models) {
    if (ids.has(id)) throw new PriceBookError(`${at}/${id}: named twice`)
    ids.add(id)
  }
  if (fields.defaults !== undefined) prices.defaults = readPrices(fields.defaults, `${at}.defaults`)
  if (fields.ratios !== undefined)
    prices.modifiers = list(fields.ratios, `${at}.ratios`).map((row, index) =>
      readRatio(row, `${at}.ratios[${index}]`, source),
    )
  return prices
}

/**
 * The first entry that speaks for a name counts: a version's own comes before that of all versions. Everything else stands
 * where it is written.
 */
function versionsFirst(models: readonly ModelPrices[]): ModelPrices[] {
  const ordered: ModelPrices[] = []
  for (const model of models) {
    const at = ordered.findIndex(earlier => isOneOf(model, earlier))
    ordered.splice(at < 0 ? ordered.length : at, 0, model)
  }
  return ordered
}

/** Of two that say no names themselves, whether one is a version of the other. */
function isOneOf({ match: version }: ModelPrices, { match: all }: ModelPrices): boolean {
  return 'versions_of' in version && 'versions_of' in all && isDatedNameOf(version.versions_of, all.versions_of)
}

function readModel(value: unknown, at: string, source: string): ModelPrices {
  const fields = fieldsOf(value, at, ['id', 'names', 'prices', 'long_context'])
  const id = textOf(fields.id, `${at}.id`)
  const model: ModelPrices = {
    id,
    match: fields.names === undefined ? matchOfId(id) : readNames(fields.names, `${at}.names`),
    rates: readPrices(fields.prices, `${at}.prices`),
    source,
  }
  if (fields.long_context !== undefined) addLongContext(model.rates, fields.long_context, `${at}.long_context`)
  return model
}

/** Replies name the version that served a model, whatever the request called it. */
function matchOfId(id: string): ModelMatch {
  return id.endsWith('*') ? { starts_with: id.slice(0, -1) } : { versions_of: id }
}

/** Exact names, or beginnings that end in `*`. */
function readNames(value: unknown, at: string): ModelMatch {
  const names = list(value, at).map((name, index) => textOf(name, `${at}[${index}]`))
  if (names.length === 0 || names.length > maxNames) throw new PriceBookError(`${at}: from 1 to ${maxNames} names`)
  const matches = names.map(
    (name): ModelMatch => (name.endsWith('*') ? { starts_with: name.slice(0, -1) } : { equals: name }),
  )
  const [only] = matches
  return matches.length === 1 && only ? only : { or: matches }
}

function readPrices(value: unknown, at: string): Rates {
  const rates: Rates = {}
  for (const [name, usd] of Object.entries(record(value, at))) {
    if (!isQuantity(name))
      throw new PriceBookError(`${at}.${name}: no such quantity; known: ${quantityNames.join(', ')}`)
    rates[name] = { base: readUsd(usd, name, `${at}.${name}`) }
  }
  if (Object.keys(rates).length === 0) throw new PriceBookError(`${at}: no price`)
  return rates
}

function addLongContext(rates: Rates, value: unknown, at: string): void {
  const fields = fieldsOf(value, at, ['above_input_tokens', 'prices'])
  const above = fields.above_input_tokens
  if (typeof above !== 'number' || !Number.isSafeInteger(above) || above < 0)
    throw new PriceBookError(`${at}.above_input_tokens: not a whole number of tokens`)
  for (const [name, { base }] of Object.entries(readPrices(fields.prices, `${at}.prices`))) {
    const rate = rates[name as QuantityName]
    if (!rate) throw new PriceBookError(`${at}.prices.${name}: has no price below the threshold`)
    rate.tiers = [{ above_input_tokens: above, rate: base }]
  }
}

const modifierNames = ['service_tier', 'batch', 'inference_geo', 'speed', 'region']

function readRatio(value: unknown, at: string, source: string): ModifierRule {
  const fields = fieldsOf(value, at, ['id', 'when', 'ratio', 'names'])
  const when = fieldsOf(fields.when, `${at}.when`, modifierNames)
  if (Object.keys(when).length === 0) throw new PriceBookError(`${at}.when: empty`)
  for (const [name, wanted] of Object.entries(when))
    if (name === 'batch' ? typeof wanted !== 'boolean' : typeof wanted !== 'string')
      throw new PriceBookError(`${at}.when.${name}: ${name === 'batch' ? 'not true or false' : 'not text'}`)
  const ratio = /^(\d{1,6})\/(\d{1,6})$/.exec(textOf(fields.ratio, `${at}.ratio`))
  if (!ratio || Number(ratio[2]) === 0) throw new PriceBookError(`${at}.ratio: not two whole numbers such as "1/2"`)
  return {
    id: textOf(fields.id, `${at}.id`),
    when: when as UsageModifiers,
    ...(fields.names !== undefined && { match: readNames(fields.names, `${at}.names`) }),
    ratio: [Number(ratio[1]), Number(ratio[2])],
    source,
  }
}

function readUsd(value: unknown, name: QuantityName, at: string): number {
  if (typeof value !== 'string') throw new PriceBookError(`${at}: write USD as text, such as "2.50"`)
  try {
    return rateFromUsd(value, quotedUnit(name).per)
  } catch (error) {
    throw new PriceBookError(`${at}: ${error instanceof Error ? error.message : 'not a price'}`)
  }
}

function isQuantity(name: string): name is QuantityName {
  return (quantityNames as readonly string[]).includes(name)
}

function textOf(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '' || value.length > 256 || !value.isWellFormed() || value.includes('\0'))
    throw new PriceBookError(`${at}: not a text of 1 to 256 characters`)
  return value
}

function fieldsOf(value: unknown, at: string, known: readonly string[]): Record<string, unknown> {
  const fields = record(value, at)
  for (const name of Object.keys(fields))
    if (!known.includes(name)) throw new PriceBookError(`${at}.${name}: not a field; known: ${known.join(', ')}`)
  return fields
}
