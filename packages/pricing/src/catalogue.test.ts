import assert from 'node:assert/strict'
import { test } from 'node:test'
import { catalogueChanges, importCatalogue } from './catalogue.ts'
import { compilePriceBook } from './compile-price-book.ts'
import { decimalText, rateFromUsd, scaleDecimal } from './decimal.ts'
import { hasRate } from './has-rate.ts'
import { PriceBookError } from './json-shape.ts'
import { parsePriceBook } from './parse-price-book.ts'
import { type PriceBook, priceBookId, serialisePriceBook } from './price-book.ts'
import { priceTable } from './price-table.ts'
import { rate } from './rate.ts'

const atMs = Date.parse('2026-11-23T00:00:00Z')
const { book, skipped } = importCatalogue({ atMs })
const compiled = compilePriceBook(book)

test('every price of the catalogue finds its quantity', () => {
  assert.deepEqual(skipped, [])
  assert.ok((book.providers.openai?.models.length ?? 0) > 80)
  assert.ok((book.providers.anthropic?.models.length ?? 0) > 20)
})

test('decimal text becomes integers without losing a digit', () => {
  assert.equal(scaleDecimal('0.075', 9), 75_000_000n)
  assert.equal(scaleDecimal('1e-7', 9), 100n)
  assert.equal(scaleDecimal('2.5E+3', 0), 2500n)
  assert.throws(() => scaleDecimal('0.0000000001', 9), RangeError)
  assert.throws(() => scaleDecimal('-1', 9), RangeError)
  assert.equal(decimalText(75_000_000n, 9), '0.075')
  assert.equal(decimalText(-5n, 9), '-0.000000005')
  assert.equal(decimalText(3_000_000_000n, 9), '3')
  assert.equal(rateFromUsd('0.075', 1_000_000), 75_000_000)
  assert.equal(rateFromUsd('10', 1000), 10_000_000_000_000)
  assert.equal(rateFromUsd('0.27', 3_600_000), 75_000_000)
  assert.throws(() => rateFromUsd('1', 7), RangeError)
})

test('a price that changed on a day holds from that day', () => {
  const base = (at: string) =>
    compilePriceBook(importCatalogue({ atMs: Date.parse(at) }).book).find('openai', 'gpt-5.6-luna')?.entry.rates.in_text
      ?.base
  assert.equal(base('2026-07-29T00:00:00Z'), 1_000_000_000)
  assert.equal(base('2026-07-30T00:00:00Z'), 200_000_000)
})

test('containers are sold by the session, and from 2026-06-02 on by the minute and their memory', () => {
  const cost = (at: string) => {
    const books = { book: compilePriceBook(importCatalogue({ atMs: Date.parse(at) }).book) }
    // Two of 4 GB, for five minutes and for twenty.
    const quantities = { code_container_sessions: 2, code_container_gb_minutes: 20 + 80 }
    const rating = rate(books, { provider: 'openai', model: 'gpt-5.4', quantities, modifiers: {} })
    assert.deepEqual(rating.unpriced, [])
    return rating.cost_nano_usd
  }
  assert.equal(cost('2026-06-01T23:59:59Z'), 60_000_000)
  assert.equal(cost('2026-06-02T00:00:00Z'), 150_000_000)
  const [change] = catalogueChanges({ afterMs: Date.parse('2026-06-01T00:00:00Z') })
  assert.equal(change, Date.parse('2026-06-02T00:00:00Z'))
})

test('a search costs what the model and the version of the tool say', () => {
  const cost = (model: string, web_search?: string) =>
    rate(
      { book: compiled },
      {
        provider: 'openai',
        model,
        quantities: { web_search_calls: 1000 },
        modifiers: { ...(web_search && { web_search }), service_tier: 'flex' },
      },
    ).cost_nano_usd / 1e9
  assert.deepEqual([cost('gpt-5.4'), cost('gpt-5.4', 'preview')], [10, 10])
  assert.deepEqual([cost('gpt-4.1-2025-04-14'), cost('gpt-4.1-2025-04-14', 'preview')], [10, 25])
  assert.deepEqual([cost('gpt-4o-mini'), cost('gpt-4.1-mini'), cost('gpt-4.1-mini', 'preview')], [11.2, 13.2, 25])
})

test('names and dated names find their entry, strangers find none', () => {
  assert.equal(compiled.find('openai', 'gpt-4.1-mini-2025-04-14')?.entry.id, 'gpt-4.1-mini')
  assert.equal(compiled.find('anthropic', 'claude-haiku-4-5-20251001')?.entry.id, 'claude-haiku-4-5')
  assert.equal(compiled.find('openai', 'tts-1')?.entry.id, 'tts-1')
  assert.equal(compiled.find('openai', 'gpt-4.1-minimal'), undefined)
  assert.equal(compiled.find('nobody', 'gpt-4.1'), undefined)
})

test('a book is named by its content, whatever the order of its keys', () => {
  const shuffled = JSON.parse(serialisePriceBook(book), (_key, value: unknown) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).reverse())
      : value,
  ) as PriceBook
  assert.match(priceBookId(book), /^pb_[0-9a-f]{32}$/)
  assert.equal(priceBookId(shuffled), priceBookId(book))
  const dearer = structuredClone(book)
  const rate = dearer.providers.openai?.models[0]?.rates.chars_in
  assert.ok(rate)
  rate.base += 1
  assert.notEqual(priceBookId(dearer), priceBookId(book))
})

test('a book comes back from its text unchanged, and a wrong one is refused', () => {
  assert.deepEqual(parsePriceBook(serialisePriceBook(book)), JSON.parse(JSON.stringify(book)))
  assert.doesNotThrow(() => parsePriceBook(serialisePriceBook(book), priceBookId(book)))
  assert.throws(() => parsePriceBook(serialisePriceBook(book), 'pb_0'), PriceBookError)
  const wrong = [
    'x',
    '{}',
    '{"format":1,"providers":{"p":{"models":[{"id":"m","match":{"equals":"m"},"rates":{"in_text":{"base":0.5}}}]}}}',
    '{"format":1,"providers":{"p":{"models":[{"id":"m","match":{"equals":"m"},"rates":{"in_gold":{"base":1}}}]}}}',
    '{"format":1,"providers":{"p":{"models":[{"id":"m","match":{"regex":"("},"rates":{}}]}}}',
    '{"format":1,"providers":{"p":{"models":[],"modifiers":[{"id":"x","when":{"batch":true},"ratio":[1,0]}]}}}',
  ]
  for (const text of wrong) assert.throws(() => parsePriceBook(text), PriceBookError, text)
})

test('the price table lists USD per unit as decimal text under the keys clients know', () => {
  const table = priceTable(book)
  assert.deepEqual(
    [table.openai?.['gpt-5.5']?.input_tokens, table.openai?.['gpt-5.5']?.cached_tokens_long],
    ['0.000005', '0.000001'],
  )
  const { input_tokens_flex, cached_tokens_priority, output_tokens_priority } = table.openai?.['gpt-5.4'] ?? {}
  assert.deepEqual(
    [input_tokens_flex, cached_tokens_priority, output_tokens_priority],
    ['0.00000125', '0.0000005', '0.00003'],
  )
  assert.equal(table.openai?.['gpt-4.1-nano']?.web_search_calls, '0.01')
  assert.equal(table.openai?.['gpt-4.1-nano']?.web_search_calls_flex, undefined)
  assert.equal(table.anthropic?.['claude-haiku-4-5']?.cache_creation_input_tokens, '0.00000125')
  assert.equal(table.openai?.['gpt-4.1-2025-04-14']?.output_tokens, '0.000008')
})

test('speech, transcripts and images cost what their providers list, by hand', () => {
  const table: [string, Parameters<typeof rate>[1]['quantities'], Parameters<typeof rate>[1]['modifiers'], number][] = [
    // 1,000 characters at 15 USD a million; twice that in high definition.
    ['tts-1', { chars_in: 1000 }, {}, 15_000_000],
    ['tts-1-hd', { chars_in: 1000 }, {}, 30_000_000],
    // 100 × 0.60 + 2,000 × 12 USD a million
    ['gpt-4o-mini-tts-2025-12-15', { in_text: 100, out_audio: 2000 }, {}, 24_060_000],
    // A minute and a half at 0.006 USD a minute; at 0.27 USD an hour.
    ['whisper-1', { audio_ms_in: 90_000 }, {}, 9_000_000],
    ['gpt-transcribe', { audio_ms_in: 90_000 }, {}, 6_750_000],
    ['gpt-4o-transcribe', { in_audio: 1000, in_text: 100, out_text: 50 }, {}, 6_000_000 + 250_000 + 500_000],
    ['gpt-4o-mini-transcribe-2025-12-15', { in_audio: 1000, out_text: 50 }, {}, 3_250_000],
    ['dall-e-2', { images: 3 }, { image_size: '256x256' }, 48_000_000],
    ['dall-e-2', { images: 3 }, { image_size: '1024x1024', image_quality: 'standard' }, 60_000_000],
    ['dall-e-3', { images: 1 }, { image_size: '1792x1024', image_quality: 'hd' }, 120_000_000],
    ['dall-e-3', { images: 1 }, { image_size: '1792x1024', image_quality: 'standard' }, 80_000_000],
    ['gpt-image-1.5', { in_text: 10, in_image: 100, out_image: 1056 }, {}, 50_000 + 800_000 + 33_792_000],
    ['gpt-image-2', { in_text: 10, out_image: 1000 }, {}, 30_050_000],
    ['gpt-image-2.6-sunburst-2026-09-08', { in_text: 10, in_image: 100, out_image: 1000 }, {}, 30_850_000],
    ['gpt-image-1-mini', { in_text: 10, in_image: 100, out_image: 272 }, {}, 20_000 + 250_000 + 2_176_000],
  ]
  for (const [model, quantities, modifiers, expected] of table) {
    const rating = rate({ book: compiled }, { provider: 'openai', model, quantities, modifiers })
    assert.deepEqual([rating.cost_nano_usd, rating.unpriced], [expected, []], model)
  }
})

test('a book says by which quantity a model is sold', () => {
  const sold = (model: string) =>
    (['chars_in', 'audio_ms_in', 'images', 'in_text'] as const).filter(name =>
      hasRate({ book: compiled }, 'openai', model, name),
    )
  assert.deepEqual(sold('tts-1'), ['chars_in'])
  assert.deepEqual(sold('gpt-4o-mini-tts'), ['in_text'])
  assert.deepEqual(sold('whisper-1'), ['audio_ms_in'])
  assert.deepEqual(sold('dall-e-3'), ['images'])
  assert.deepEqual(sold('nothing-known'), [])
})
