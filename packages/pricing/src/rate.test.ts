import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Quantities, type QuantityName, quantityNames, type UsageModifiers } from '@sluice/contracts'
import fc from 'fast-check'
import { compilePriceBook } from './compile-price-book.ts'
import { exactLineCost } from './half-even.ts'
import type { PriceBook } from './price-book.ts'
import { findUnpriced, rate } from './rate.ts'

const book = compilePriceBook({
  format: 1,
  providers: {
    acme: {
      models: [
        {
          id: 'plain',
          match: { equals: 'plain' },
          rates: {
            in_text: { base: 3_000_000_000 },
            in_cache_read: { base: 300_000_000 },
            in_cache_write_5m: { base: 3_750_000_000 },
            in_cache_write_1h: { base: 6_000_000_000 },
            out_text: { base: 15_000_000_000 },
          },
        },
        {
          id: 'long',
          match: { starts_with: 'long' },
          rates: {
            in_text: { base: 2_500_000_000, tiers: [{ above_input_tokens: 271_999, rate: 5_000_000_000 }] },
            in_cache_read: { base: 250_000_000, tiers: [{ above_input_tokens: 271_999, rate: 500_000_000 }] },
            out_text: { base: 15_000_000_000, tiers: [{ above_input_tokens: 271_999, rate: 22_500_000_000 }] },
          },
        },
        {
          id: 'pictures',
          match: { equals: 'pictures' },
          rates: { images: { base: 40_000_000_000_000 } },
          variants: [
            {
              when: { image_size: '1024x1792', image_quality: 'hd' },
              rates: { images: { base: 120_000_000_000_000 } },
            },
          ],
        },
      ],
      defaults: { web_search_calls: { base: 10_000_000_000_000 } },
      modifiers: [
        { id: 'batch', when: { batch: true }, ratio: [1, 2] },
        { id: 'us', when: { inference_geo: 'us' }, ratio: [11, 10] },
        { id: 'flex', when: { service_tier: 'flex' }, match: { equals: 'plain' }, ratio: [1, 2] },
      ],
    },
  },
})

const cost = (model: string, quantities: Quantities, modifiers: UsageModifiers = {}) =>
  rate({ book }, { provider: 'acme', model, quantities, modifiers })

test('lines stand in the order of the quantities, whatever the order they were told in', () => {
  const told: Quantities = { out_text: 3, out_reasoning: 1, in_cache_read: 2, in_text: 1 }
  const { line_items: lines } = rate({ book }, { provider: 'acme', model: 'plain', quantities: told, modifiers: {} })
  assert.deepEqual(
    lines.map(line => line.quantity_name),
    ['in_text', 'in_cache_read', 'out_text'],
  )
})

test('a call costs what its quantities cost by hand', () => {
  const table: [string, Quantities, UsageModifiers, number][] = [
    // 1000 × 3 USD/M + 200 × 15 USD/M
    ['plain', { in_text: 1000, out_text: 200 }, {}, 6_000_000],
    // + 5000 × 0.30 + 100 × 3.75 + 10 × 6
    [
      'plain',
      { in_text: 1000, in_cache_read: 5000, in_cache_write_5m: 100, in_cache_write_1h: 10, out_text: 200 },
      {},
      7_935_000,
    ],
    ['plain', { in_cache_write_other: 100 }, {}, 375_000],
    ['plain', { in_text: 1000, out_text: 200 }, { batch: true }, 3_000_000],
    ['plain', { in_text: 1000, out_text: 200 }, { service_tier: 'batch' }, 3_000_000],
    ['plain', { in_text: 1000, out_text: 200 }, { service_tier: 'flex' }, 3_000_000],
    ['plain', { in_text: 1000, out_text: 200 }, { service_tier: 'standard', inference_geo: 'us' }, 6_600_000],
    ['plain', { in_text: 1, out_text: 1 }, { batch: true, inference_geo: 'us' }, 1650 + 8250],
    // Calls of tools are not tokens: no ratio.
    ['plain', { web_search_calls: 3 }, { batch: true }, 30_000_000],
    ['long', { in_text: 271_999 }, {}, 679_997_500],
    ['long', { in_text: 272_000 }, {}, 1_360_000_000],
    ['long', { in_text: 2000, in_cache_read: 270_000, out_text: 100 }, {}, 10_000_000 + 135_000_000 + 2_250_000],
    ['pictures', { images: 2 }, {}, 80_000_000],
    ['pictures', { images: 1 }, { image_size: '1024x1792', image_quality: 'hd' }, 120_000_000],
    ['plain', {}, {}, 0],
  ]
  for (const [model, quantities, modifiers, expected] of table) {
    const rating = cost(model, quantities, modifiers)
    assert.equal(rating.cost_nano_usd, expected, JSON.stringify([model, quantities, modifiers]))
    assert.equal(rating.priced, true)
  }
})

test('what is used and has no rate is named, never counted as free', () => {
  const table: [string, Quantities, UsageModifiers, string[], number][] = [
    ['plain', { in_text: 1000, in_audio: 7 }, {}, ['in_audio'], 3_000_000],
    ['unknown', { in_text: 1, out_text: 1 }, {}, ['in_text', 'out_text'], 0],
    ['long', { in_text: 1000 }, { service_tier: 'flex' }, ['service_tier=flex'], 2_500_000],
    ['plain', { out_text: Number.MAX_SAFE_INTEGER }, {}, ['out_text'], 0],
  ]
  for (const [model, quantities, modifiers, unpriced, total] of table) {
    const rating = cost(model, quantities, modifiers)
    assert.equal(rating.priced, false)
    assert.deepEqual(rating.unpriced, unpriced)
    assert.equal(rating.cost_nano_usd, total)
  }
  assert.equal(cost('unknown', { in_text: 0 }).priced, true)
})

test('quantities that are parts of others are never priced', () => {
  const rating = cost('plain', { out_text: 100, out_reasoning: 90, pred_accepted: 5, pred_rejected: 5 })
  assert.deepEqual(
    rating.line_items.map(line => line.quantity_name),
    ['out_text'],
  )
})

test("a project's own book is asked first, quantity by quantity, with the catalogue's ratios", () => {
  const own: PriceBook = {
    format: 1,
    providers: {
      acme: { models: [{ id: 'p', match: { equals: 'plain' }, rates: { out_text: { base: 10_000_000_000 } } }] },
    },
  }
  const rating = rate(
    { book, override: compilePriceBook(own) },
    { provider: 'acme', model: 'plain', quantities: { in_text: 1000, out_text: 200 }, modifiers: { batch: true } },
  )
  assert.equal(rating.cost_nano_usd, 1_500_000 + 1_000_000)
  assert.equal(rating.priced, true)
})

test('a turn of another model is priced as that model', () => {
  const rating = rate(
    { book },
    {
      provider: 'acme',
      model: 'plain',
      quantities: { in_text: 1500, out_text: 250 },
      modifiers: {},
      parts: [{ model: 'long', quantities: { in_text: 500, out_text: 50 } }],
    },
  )
  assert.equal(rating.cost_nano_usd, 3_000_000 + 3_000_000 + 1_250_000 + 750_000)
  assert.deepEqual(
    rating.line_items.map(line => line.model),
    [undefined, undefined, 'long', 'long'],
  )
})

test("a part of another model is in the call's tier only where that model has a price there", () => {
  const of = (parts: { model: string; quantities: Quantities }[], modifiers: UsageModifiers) => {
    const quantities = { in_text: parts.reduce((sum, part) => sum + (part.quantities.in_text ?? 0), 1000) }
    return rate({ book: tiered }, { provider: 'acme', model: 'talker', quantities, modifiers, parts })
  }
  const part = (model: string) => [{ model, quantities: { in_text: 1000 } }]
  const flex = { service_tier: 'flex' }
  assert.equal(of(part('painter'), flex).cost_nano_usd, 500 + 1000)
  assert.equal(of(part('advisor'), flex).cost_nano_usd, 500 + 3000)
  assert.equal(of(part('talker'), flex).cost_nano_usd, 500 + 500, 'its own turn')
  const priority = of(part('painter'), { service_tier: 'priority' })
  assert.deepEqual([priority.cost_nano_usd, priority.priced, priority.unpriced], [2000 + 1000, true, []])
  assert.equal(of(part('painter'), { batch: true }).cost_nano_usd, 500 + 500, 'a batch holds for all of it')
})

const tiered = compilePriceBook({
  format: 1,
  providers: {
    acme: {
      models: ['talker', 'painter', 'advisor'].map(id => ({
        id,
        match: { equals: id },
        rates: { in_text: { base: 1_000_000 } },
        ...(id === 'advisor' && {
          variants: [{ when: { service_tier: 'flex' }, rates: { in_text: { base: 3_000_000 } } }],
        }),
      })),
      modifiers: [
        { id: 'batch', when: { batch: true }, ratio: [1, 2] },
        { id: 'flex', when: { service_tier: 'flex' }, ratio: [1, 2] },
        { id: 'priority', when: { service_tier: 'priority' }, match: { equals: 'talker' }, ratio: [2, 1] },
      ],
    },
  },
})

test('a total is the sum of its lines, and each line is exact', () => {
  const priced: QuantityName[] = ['in_text', 'in_cache_read', 'in_cache_write_5m', 'out_text']
  const count = fc.nat({ max: 3_000_000 })
  fc.assert(
    fc.property(fc.tuple(count, count, count, count), fc.boolean(), fc.boolean(), (values, batch, us) => {
      const quantities: Quantities = Object.fromEntries(priced.map((name, index) => [name, values[index] ?? 0]))
      const rating = cost('plain', quantities, { ...(batch && { batch }), ...(us && { inference_geo: 'us' }) })
      let total = 0
      for (const line of rating.line_items) {
        const [numerator, denominator] = line.multiplier ?? [1, 1]
        assert.equal(
          line.cost_nano_usd,
          exactLineCost(line.quantity, line.rate_nano_usd_per_million, numerator, denominator),
        )
        total += line.cost_nano_usd
      }
      assert.equal(rating.cost_nano_usd, total)
    }),
    { numRuns: 300, seed: 11 },
  )
})

test('every quantity is either priced as itself or named as unpriced', () => {
  for (const name of quantityNames) {
    const rating = cost('plain', { [name]: 1000 })
    const informational = ['out_reasoning', 'pred_accepted', 'pred_rejected'].includes(name)
    assert.equal(rating.line_items.length + rating.unpriced.length, informational ? 0 : 1, name)
  }
})

const assumed = (model: string, quantities: Quantities, modifiers: UsageModifiers = {}) =>
  rate({ book }, { provider: 'acme', model, quantities, modifiers, assumeDearest: true })

test('a model without a price costs what the dearest of its provider takes for each quantity, and each line says whose', () => {
  const rating = assumed('unheard-of', { in_text: 1000, in_cache_read: 1000, out_text: 100, web_search_calls: 1 })
  assert.deepEqual(
    rating.line_items.map(line => [line.quantity_name, line.cost_nano_usd, line.assumed_from]),
    [
      // The long-context rate of "long" is the highest for input and output, of "plain" for nothing.
      ['in_text', 5_000_000, 'long'],
      ['in_cache_read', 500_000, 'long'],
      ['out_text', 2_250_000, 'long'],
      ['web_search_calls', 10_000_000, 'plain'],
    ],
  )
  assert.deepEqual([rating.priced, rating.assumed, rating.cost_nano_usd], [true, true, 17_750_000])
})

test('a quantity without a rate on a priced model is assumed alone, and what no model has a rate for stays named', () => {
  const rating = assumed('plain', { in_text: 1000, images: 1, other_tool_calls: 2 })
  assert.deepEqual(
    rating.line_items.map(line => [line.quantity_name, line.cost_nano_usd, line.assumed_from]),
    [
      ['in_text', 3_000_000, undefined],
      ['images', 120_000_000, 'pictures'],
    ],
  )
  assert.deepEqual([rating.priced, rating.unpriced, rating.assumed], [false, ['other_tool_calls'], true])
})

test('a modifier without a rule takes the highest ratio of its kind, and never the discount of another', () => {
  const geo = assumed('plain', { in_text: 1000 }, { inference_geo: 'moon' })
  assert.deepEqual([geo.cost_nano_usd, geo.line_items[0]?.assumed_from], [3_300_000, 'us'])
  const tier = assumed('long-1', { in_text: 1000 }, { service_tier: 'flex' })
  assert.deepEqual([tier.cost_nano_usd, tier.line_items[0]?.assumed_from, tier.priced], [2_500_000, 'flex', true])
  const unknown = assumed('plain', { in_text: 1000 }, { region: 'eu' })
  assert.deepEqual([unknown.cost_nano_usd, unknown.priced, unknown.unpriced], [3_000_000, false, ['region=eu']])
})

test('nothing is assumed where everything has a price, and nothing unless it is asked for', () => {
  const usual = assumed('plain', { in_text: 1000, out_text: 200 }, { batch: true })
  assert.deepEqual([usual.cost_nano_usd, usual.assumed, usual.priced], [3_000_000, false, true])
  const left = cost('unheard-of', { in_text: 1000 })
  assert.deepEqual([left.cost_nano_usd, left.assumed, left.priced], [0, false, false])
  assert.equal(rate({ book }, { ...usage, provider: 'nobody', assumeDearest: true }).priced, false)
})

const usage = { provider: 'acme', model: 'plain', quantities: { in_text: 10 }, modifiers: {} }

test('a rate of the override beats one of the catalogue, but not what it would only stand in for', () => {
  const override = compilePriceBook({
    format: 1,
    providers: {
      acme: { models: [{ id: 'own', match: { equals: 'plain' }, rates: { in_text: { base: 2_000_000_000 } } }] },
    },
  })
  const rating = rate(
    { book, override },
    { ...usage, quantities: { in_text: 1000, in_cache_read: 1000, in_image: 1000, out_text: 100 } },
  )
  assert.deepEqual(
    rating.line_items.map(line => line.cost_nano_usd),
    [2_000_000, 2_000_000, 300_000, 1_500_000],
  )
})

test('an override is rated by the rules of the catalogue it is asked with, whichever came first', () => {
  const override = compilePriceBook({
    format: 1,
    providers: {
      acme: { models: [{ id: 'own', match: { equals: 'plain' }, rates: { in_text: { base: 2_000_000 } } }] },
    },
  })
  const third = compilePriceBook({
    format: 1,
    providers: {
      acme: {
        models: [{ id: 'plain', match: { equals: 'plain' }, rates: { in_text: { base: 1 } } }],
        modifiers: [{ id: 'batch', when: { batch: true }, ratio: [1, 4] }],
      },
    },
  })
  const batch = { ...usage, quantities: { in_text: 1_000_000 }, modifiers: { batch: true } }
  assert.equal(rate({ book, override }, batch).cost_nano_usd, 1_000_000)
  assert.equal(rate({ book: third, override }, batch).cost_nano_usd, 500_000)
})

test('which quantity a model has no price for is told before it is called', () => {
  assert.equal(findUnpriced({ book }, 'acme', 'plain', ['in_text', 'out_text']), undefined)
  assert.equal(findUnpriced({ book }, 'acme', 'pictures', ['in_text', 'out_text']), 'in_text')
  assert.equal(findUnpriced({ book }, 'acme', 'plain', ['in_text', 'in_audio']), 'in_audio')
})
