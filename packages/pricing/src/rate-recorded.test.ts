import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UsageRecordedData } from '@sluice/contracts'
import fc from 'fast-check'
import { importCatalogue } from './catalogue.ts'
import { type CompiledPriceBook, compilePriceBook } from './compile-price-book.ts'
import { readPriceFile } from './price-file.ts'
import { rate } from './rate.ts'
import { ratedModel, ratedParts, rateRecorded } from './rate-recorded.ts'

const books = { book: compilePriceBook(importCatalogue({ atMs: Date.parse('2026-11-23T00:00:00Z') }).book) }

test('an event rated again from itself alone costs the same, turns of other models included', () => {
  const tokens = fc.record({
    in_text: fc.nat({ max: 400_000 }),
    in_audio: fc.nat({ max: 3 }),
    out_text: fc.nat({ max: 9000 }),
  })
  const models = fc.constantFrom('claude-opus-4-6', 'claude-fable-5', 'claude-sonnet-4-5', 'claude-unheard-of')
  fc.assert(
    fc.property(
      models,
      tokens,
      fc.array(fc.record({ model: models, quantities: tokens }), { maxLength: 3 }),
      fc.boolean(),
      (model, own, parts, assumeDearest) => {
        const quantities = { ...own }
        for (const part of parts)
          for (const name of ['in_text', 'in_audio', 'out_text'] as const) quantities[name] += part.quantities[name]
        const usage = {
          provider: 'anthropic',
          model,
          quantities,
          modifiers: { inference_geo: 'us' },
          parts,
          assumeDearest,
        }
        const rating = rate(books, usage)
        const policy = assumeDearest ? { unpriced_policy: 'assume_max' } : {}
        const stored = JSON.parse(
          JSON.stringify({ ...usage, ...rating, ...policy, requested_model: model }),
        ) as UsageRecordedData
        const again = rateRecorded(books, stored)
        assert.equal(again.cost_nano_usd, rating.cost_nano_usd)
        assert.deepEqual(again.line_items, rating.line_items)
      },
    ),
    { numRuns: 200, seed: 31 },
  )
})

test('a served model that no book knows is priced as the one that was asked for', () => {
  assert.equal(ratedModel(books, 'openai', 'gpt-5.4', 'gpt-5.4-2026-03-05'), 'gpt-5.4-2026-03-05')
  assert.equal(ratedModel(books, 'openai', 'gpt-5.4', 'my-deployment'), 'gpt-5.4')
  assert.equal(ratedModel(books, 'openai', 'gpt-5.4', undefined), 'gpt-5.4')
})

test("a project's own price for the model that was asked for holds for the version that served it", () => {
  const own = (id: string, names?: string[]) =>
    compilePriceBook(
      readPriceFile({
        source: 's',
        providers: { openai: { models: [{ id, ...(names && { names }), prices: { in_text: '2' } }] } },
      }),
    )
  const costOf = (override: CompiledPriceBook, requested_model: string, served_model: string) =>
    rateRecorded({ ...books, override }, {
      provider: 'openai',
      requested_model,
      served_model,
      quantities: { in_text: 1000 },
      modifiers: {},
      line_items: [],
    } as unknown as UsageRecordedData).cost_nano_usd
  const served = 'gpt-5.4-2026-03-05'
  assert.equal(costOf(own('gpt-5.4'), 'gpt-5.4', served), 2_000_000)
  assert.equal(costOf(own('gpt-5.4'), served, served), 2_000_000)
  assert.equal(costOf(own('contract', ['gpt-5.4']), 'gpt-5.4', served), 2_000_000)
  assert.equal(costOf(own('contract', ['gpt-5.4']), served, served), 2_500_000, 'names are exact')
  assert.equal(costOf(own('gpt-5.4'), 'gpt-5.4', 'gpt-5.4-mini-2026-03-17'), 750_000, 'another model served')
})

test('turns of the model that served are priced as the call is, those of others as themselves', () => {
  const parts = [
    { model: 'claude-sonnet-4-5-20250929', quantities: { in_text: 150_000 } },
    { model: 'claude-opus-4-8', quantities: { in_text: 10 } },
  ]
  const names = (rated: string) => ratedParts(parts, 'claude-sonnet-4-5-20250929', rated)?.map(part => part.model)
  assert.deepEqual(names('claude-sonnet-4-5'), ['claude-sonnet-4-5', 'claude-opus-4-8'])
  assert.deepEqual(
    names('claude-sonnet-4-5-20250929'),
    parts.map(part => part.model),
  )
  assert.equal(ratedParts(undefined, 'a', 'b'), undefined)
})

test('two turns of one model stay two, although they used different things: each has its own tier', () => {
  const parts = [
    { model: 'claude-sonnet-4-5', quantities: { in_text: 150_000 } },
    { model: 'claude-sonnet-4-5', quantities: { in_cache_read: 150_000, out_text: 10 } },
  ]
  const quantities = { in_text: 150_000, in_cache_read: 150_000, out_text: 10 }
  const rating = rate(books, { provider: 'anthropic', model: 'claude-opus-5', quantities, modifiers: {}, parts })
  // 150,000 × 3 USD and × 0.30 USD a million, 10 × 15: together they would be long context.
  assert.equal(rating.cost_nano_usd, 450_000_000 + 45_000_000 + 150_000)
  const event = {
    provider: 'anthropic',
    requested_model: 'claude-opus-5',
    quantities,
    modifiers: {},
    line_items: rating.line_items,
  } as unknown as UsageRecordedData
  assert.deepEqual(rateRecorded(books, event).line_items, rating.line_items)
})
