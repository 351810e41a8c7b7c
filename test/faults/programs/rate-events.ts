/**
 * Rates random events and holds every line against big integers. The oracle below shares nothing with `packages/pricing`.
 * Prints the outcome as JSON.
 */
import {
  type LineItem,
  type Quantities,
  quantityNames,
  type UsageModifiers,
  type UsageRecordedData,
} from '@sluice/contracts'
import {
  compilePriceBook,
  type PriceBook,
  type PriceBooks,
  type Rates,
  rate,
  ratedModel,
  rateRecorded,
} from '@sluice/pricing'
import { importCatalogue } from '@sluice/pricing/catalogue'
import { seededRandom } from '../random.ts'
import type { Outcome } from '../scenario.ts'
import { tellProgress } from './tell-progress.ts'

const { events, seed } = JSON.parse(process.argv[2] ?? '{}') as { events: number; seed: number }
const random = seededRandom(seed)
const below = (end: number): number => Math.floor(random() * end)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T
const isPriceable = (name: string): boolean => !['out_reasoning', 'pred_accepted', 'pred_rejected'].includes(name)

/** `quantity × rate × numerator / (10⁶ × denominator)`, half to even. */
function oracleCost(line: LineItem): bigint {
  const [numerator, denominator] = line.multiplier ?? [1, 1]
  const product = BigInt(line.quantity) * BigInt(line.rate_nano_usd_per_million) * BigInt(numerator)
  const divisor = 1_000_000n * BigInt(denominator)
  const floor = product / divisor
  const twice = 2n * (product % divisor)
  return twice > divisor || (twice === divisor && floor % 2n === 1n) ? floor + 1n : floor
}

const catalogue = importCatalogue({ atMs: Date.parse('2026-11-25T00:00:00Z') }).book

function randomRates(): Rates {
  const rates: Rates = {}
  for (const name of quantityNames) {
    if (random() < 0.5) continue
    const base = random() < 0.3 ? below(1000) : below(40_000) * 1_000_000 + below(3)
    rates[name] = random() < 0.3 ? { base, tiers: [{ above_input_tokens: below(400_000), rate: base * 2 }] } : { base }
  }
  return rates
}

/** A project's own prices for some models, with rules of its own or without. */
function randomOverride(): PriceBook {
  const models = Array.from({ length: 1 + below(4) }, (_, i) => ({
    id: `own-${i}`,
    match: { equals: oneOf(modelNames) },
    rates: randomRates(),
  }))
  const own = {
    models,
    ...(random() < 0.3 && { modifiers: [{ id: 'own', when: { batch: true }, ratio: [1, 3] as [number, number] }] }),
  }
  return { format: 1, providers: { [oneOf(['openai', 'anthropic'])]: own } }
}

const modelNames = ['openai', 'anthropic'].flatMap(
  provider => catalogue.providers[provider]?.models.map(model => model.id) ?? [],
)
const compiled = compilePriceBook(catalogue)
const overrides = Array.from({ length: 20 }, randomOverride).map(book => ({ book, compiled: compilePriceBook(book) }))

function randomQuantities(): Quantities {
  const quantities: Quantities = {}
  for (let i = 1 + below(6); i > 0; i--) {
    const size = oneOf([10, 1000, 300_000, 5_000_000, 2 ** 40])
    quantities[oneOf(quantityNames)] = 1 + below(size)
  }
  return quantities
}

function randomModifiers(): UsageModifiers {
  return {
    ...(random() < 0.3 && { service_tier: oneOf(['flex', 'priority', 'default', 'batch', 'scale', 'turbo']) }),
    ...(random() < 0.2 && { batch: true }),
    ...(random() < 0.2 && { inference_geo: oneOf(['us', 'global', 'moon']) }),
    ...(random() < 0.1 && { speed: 'fast' }),
    ...(random() < 0.1 && { image_size: '1024x1792', image_quality: 'hd' }),
  }
}

const found = { lines: [] as string[], sums: [] as string[], again: [] as string[], left: [] as string[] }
const figures = { lines: 0, halves: 0, assumed: 0, unpriced: 0, parts: 0 }
const startedAt = performance.now()
const progress = tellProgress(events, 'events')
for (let number = 0; number < events; number++) {
  progress(number)
  checkOne(number)
}

function checkOne(number: number): void {
  const override = random() < 0.3 ? oneOf(overrides) : undefined
  const books: PriceBooks = { book: compiled, override: override?.compiled }
  const provider = oneOf(['openai', 'anthropic'])
  const requested = random() < 0.1 ? 'unheard-of' : oneOf(modelNames)
  const served = random() < 0.2 ? oneOf(modelNames) : undefined
  const quantities = randomQuantities()
  const parts =
    random() < 0.15
      ? Array.from({ length: 1 + below(3) }, () => ({ model: oneOf(modelNames), quantities: randomQuantities() }))
      : undefined
  for (const part of parts ?? [])
    for (const [name, value] of Object.entries(part.quantities))
      quantities[name as keyof Quantities] = (quantities[name as keyof Quantities] ?? 0) + value
  const assumeDearest = random() < 0.3
  const usage = {
    provider,
    model: ratedModel(books, provider, requested, served),
    quantities,
    modifiers: randomModifiers(),
    parts,
    assumeDearest,
  }
  const rating = rate(books, usage)
  let sum = 0n
  for (const line of rating.line_items) {
    const exact = oracleCost(line)
    const isWhole = Object.values(line)
      .flat()
      .every(value => typeof value === 'string' || Number.isSafeInteger(value))
    if (!isWhole || exact !== BigInt(line.cost_nano_usd)) found.lines.push(JSON.stringify(line))
    sum += BigInt(line.cost_nano_usd)
  }
  if (sum !== BigInt(rating.cost_nano_usd)) found.sums.push(`${rating.cost_nano_usd} for ${sum}`)
  if (rating.priced && !accountsForAll(rating.line_items, quantities)) found.left.push(JSON.stringify(usage))

  const event = JSON.parse(
    JSON.stringify({
      provider,
      requested_model: requested,
      served_model: served,
      quantities,
      modifiers: usage.modifiers,
      line_items: rating.line_items,
      ...(assumeDearest && { unpriced_policy: 'assume_max' }),
    }),
  ) as UsageRecordedData
  const again = rateRecorded(books, event)
  // Sometimes with books that no call has asked yet, as another process has them.
  const fresh =
    number % 1000 === 0
      ? rateRecorded(
          { book: compilePriceBook(catalogue), override: override && compilePriceBook(override.book) },
          event,
        )
      : rate(books, usage)
  for (const other of [again, fresh])
    if (
      other.cost_nano_usd !== rating.cost_nano_usd ||
      JSON.stringify(other.line_items) !== JSON.stringify(rating.line_items)
    )
      found.again.push(JSON.stringify({ event, cost: other.cost_nano_usd, before: rating.cost_nano_usd }))

  figures.lines += rating.line_items.length
  figures.halves += rating.line_items.filter(isHalf).length
  if (rating.assumed) figures.assumed += 1
  if (!rating.priced) figures.unpriced += 1
  if (parts) figures.parts += 1
}

/** Where everything has a price, the lines together hold every quantity that is priced, once. */
function accountsForAll(lines: readonly LineItem[], quantities: Quantities): boolean {
  return quantityNames.filter(isPriceable).every(name => {
    const inLines = lines.filter(line => line.quantity_name === name).reduce((total, line) => total + line.quantity, 0)
    return inLines === (quantities[name] ?? 0)
  })
}

function isHalf(line: LineItem): boolean {
  const [numerator, denominator] = line.multiplier ?? [1, 1]
  const product = BigInt(line.quantity) * BigInt(line.rate_nano_usd_per_million) * BigInt(numerator)
  return (
    (product * 2n) % (1_000_000n * BigInt(denominator)) === 0n && product % (1_000_000n * BigInt(denominator)) !== 0n
  )
}

const part = (promise: string, broken: string[]) => ({
  promise,
  kept: broken.length === 0,
  found: broken.length === 0 ? 'none differs' : `${broken.length}, first: ${broken[0]?.slice(0, 300)}`,
})
const outcome: Outcome = {
  figures: {
    events,
    'lines checked': figures.lines,
    'lines that were a half exactly': figures.halves,
    'events with an assumed rate': figures.assumed,
    'events with something unpriced': figures.unpriced,
    'events with turns of other models': figures.parts,
    seconds: ((performance.now() - startedAt) / 1000).toFixed(1),
  },
  kept: [
    part('each line is the half-even of quantity × rate × ratio, in integers', found.lines),
    part('each total is the sum of its lines', found.sums),
    part('the same event gives the same lines, from itself alone and in another process', found.again),
    part('where everything has a price, every unit is in a line, once', found.left),
    {
      promise: 'the events met what they are to show',
      kept: Math.min(figures.halves, figures.assumed, figures.unpriced, figures.parts) > 0,
      found: JSON.stringify(figures),
    },
  ],
}
process.stdout.write(`${JSON.stringify(outcome)}\n`)
