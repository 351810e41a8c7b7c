import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importCatalogue } from './catalogue.ts'
import { compilePriceBook } from './compile-price-book.ts'
import { decimalText, rateFromUsd, scaleDecimal } from './decimal.ts'
import { PriceBookError, parsePriceBook } from './parse-price-book.ts'
import { type PriceBook, priceBookId, serialisePriceBook } from './price-book.ts'
import { priceTable } from './price-table.ts'

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
  assert.equal(table.anthropic?.['claude-haiku-4-5']?.cache_creation_input_tokens, '0.00000125')
  assert.equal(table.openai?.['gpt-4.1-2025-04-14']?.output_tokens, '0.000008')
})
