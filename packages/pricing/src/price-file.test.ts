import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importCatalogue } from './catalogue.ts'
import { compilePriceBook } from './compile-price-book.ts'
import { formatPriceChanges } from './format-price-changes.ts'
import { PriceBookError } from './json-shape.ts'
import { parsePriceBook } from './parse-price-book.ts'
import { serialisePriceBook } from './price-book.ts'
import { changesBetween, changesOfOverride } from './price-changes.ts'
import { readPriceFile } from './price-file.ts'
import { rate } from './rate.ts'

const catalogue = importCatalogue({ atMs: Date.parse('2026-11-25T00:00:00Z') }).book
const file = {
  source: 'Contract of 2026-11-01',
  providers: {
    openai: {
      models: [
        {
          id: 'gpt-5.4',
          names: ['gpt-5.4', 'gpt-5.4-2026-*'],
          prices: { in_text: '2', out_text: '12.00', web_search_calls: '0.008' },
          long_context: { above_input_tokens: 271999, prices: { in_text: '4' } },
        },
        { id: 'whisper-here', prices: { audio_ms_in: '0.003' } },
      ],
      defaults: { code_container_sessions: '0.02' },
      ratios: [{ id: 'batch', when: { batch: true }, ratio: '2/5' }],
    },
  },
}

test('a price file is USD as people write it, read without losing a digit', () => {
  const book = readPriceFile(file)
  assert.deepEqual(parsePriceBook(serialisePriceBook(book)), JSON.parse(JSON.stringify(book)))
  const compiled = compilePriceBook(book)
  const cost = (model: string, quantities: object, modifiers = {}) =>
    rate({ book: compiled }, { provider: 'openai', model, quantities, modifiers }).cost_nano_usd
  assert.equal(cost('gpt-5.4-2026-03-05', { in_text: 1_000_000 }), 4_000_000_000)
  assert.equal(cost('gpt-5.4', { in_text: 1000, out_text: 10, web_search_calls: 1 }), 2_000_000 + 120_000 + 8_000_000)
  assert.equal(cost('gpt-5.4', { in_text: 1000 }, { batch: true }), 800_000)
  assert.equal(cost('whisper-here', { audio_ms_in: 60_000 }), 3_000_000)
  assert.equal(compiled.find('openai', 'gpt-5.4-mini'), undefined)
})

test('a price without names is that of each dated version too, unless the version has its own', () => {
  const priced = (id: string, usd: string) => ({ id, prices: { in_text: usd } })
  const models = [priced('gpt-5.4', '2'), priced('gpt-5.4-2026-06-01', '3'), priced('claude-*', '4')]
  const book = compilePriceBook(readPriceFile({ source: 's', providers: { openai: { models } } }))
  const usd = (model: string) => book.find('openai', model)?.entry.rates.in_text?.base
  for (const name of ['gpt-5.4', 'gpt-5.4-2026-03-05', 'gpt-5.4-20260305', 'gpt-5.4-0305'])
    assert.equal(usd(name), 2_000_000_000, name)
  assert.equal(usd('gpt-5.4-2026-06-01'), 3_000_000_000)
  assert.equal(usd('claude-any'), 4_000_000_000)
  for (const name of ['gpt-5.4-mini', 'gpt-5.4-mini-2026-03-05', 'gpt-5x4', 'my-gpt-5.4', 'gpt-5.4-2026-03-05-x'])
    assert.equal(usd(name), undefined, name)
})

test('of two entries that say their names the first counts, dated or not; a version’s own moves before that of all versions alone', () => {
  const prices = { in_text: '1' }
  const models = [
    { id: 'contract', names: ['gpt-5.4-2026-*'], prices },
    { id: 'offer-2026-01-01', names: ['gpt-5.4-2026-06-01', 'gpt-4.1'], prices },
    { id: 'gpt-4.1', prices },
    { id: 'gpt-5.4', prices },
    { id: 'o3', names: ['gpt-5.4'], prices },
    { id: 'o4-2026-01-01', prices },
    { id: 'gpt-5.4-2025-06-01', prices },
  ]
  const read = readPriceFile({ source: 's', providers: { openai: { models } } })
  const book = compilePriceBook(read)
  for (const [name, id] of [
    ['gpt-5.4-2026-06-01', 'contract'],
    ['gpt-4.1', 'offer-2026-01-01'],
    ['gpt-5.4', 'gpt-5.4'],
    ['gpt-5.4-2025-06-01', 'gpt-5.4-2025-06-01'],
    ['gpt-5.4-2025-07-01', 'gpt-5.4'],
  ] as const)
    assert.equal(book.find('openai', name)?.entry.id, id, name)
})

test('what is wrong in a price file is named by its place', () => {
  const model = { id: 'm', prices: { in_text: '1' } }
  const wrong: [RegExp, unknown][] = [
    [/^file: not an object/, []],
    [/^file\.prices: not a field; known: source, providers/, { source: 's', prices: {}, providers: {} }],
    [/^source: not a text/, { providers: { openai: { models: [model] } } }],
    [/^providers: none is named/, { source: 's', providers: {} }],
    [/^mistral: not a provider/, { source: 's', providers: { mistral: { models: [model] } } }],
    [/^openai\/m: named twice/, { source: 's', providers: { openai: { models: [model, model] } } }],
    [/models\[0\]\.prices: no price/, inModel({ prices: {} })],
    [/models\[0\]\.prices\.in_gold: no such quantity/, inModel({ prices: { in_gold: '1' } })],
    [/in_text: write USD as text, such as "2\.50"/, inModel({ prices: { in_text: 2.5 } })],
    [/in_text: not a decimal number: -1/, inModel({ prices: { in_text: '-1' } })],
    [/in_text: USD 0\.0000000001 per 1000000 is no whole number/, inModel({ prices: { in_text: '0.0000000001' } })],
    [/models\[0\]\.names: from 1 to 50 names/, inModel({ names: [] })],
    [/above_input_tokens: not a whole number/, inModel({ long_context: { above_input_tokens: 1.5, prices: {} } })],
    [
      /long_context\.prices\.out_text: has no price below/,
      inModel({ long_context: { above_input_tokens: 1, prices: { out_text: '1' } } }),
    ],
    [/ratios\[0\]\.ratio: not two whole numbers/, inRatio({ ratio: '0.5' })],
    [/ratios\[0\]\.when: empty/, inRatio({ when: {} })],
    [/ratios\[0\]\.when\.batch: not true or false/, inRatio({ when: { batch: 'yes' } })],
  ]
  for (const [message, data] of wrong)
    assert.throws(
      () => readPriceFile(data),
      (error: Error) => error instanceof PriceBookError && message.test(error.message),
      String(message),
    )
})

const inModel = (fields: object) => ({
  source: 's',
  providers: { openai: { models: [{ id: 'm', prices: { in_text: '1' }, ...fields }] } },
})
const inRatio = (fields: object) => ({
  source: 's',
  providers: { openai: { models: [], ratios: [{ id: 'r', when: { batch: true }, ratio: '1/2', ...fields }] } },
})

test('two books are compared price by price, for a person to read', () => {
  const before = readPriceFile(file)
  const after = structuredClone(file)
  after.providers.openai.models[0] = {
    ...file.providers.openai.models[0],
    prices: { in_text: '1.5', out_text: '12' },
  } as never
  after.providers.openai.ratios[0] = { id: 'batch', when: { batch: true }, ratio: '1/2' }
  after.providers.openai.models[1] = { id: 'new', prices: { in_text: '0.05' } } as never
  const text = formatPriceChanges(changesBetween(before, readPriceFile(after)))
  assert.equal(
    text,
    `openai gpt-5.4
  in_text           $2 → $1.5 per million  -25 %
openai new
  in_text           new: $0.05 per million
openai ratio
  batch             2/5 → 1/2
openai gpt-5.4
  web_search_calls  gone, was $0.008 each
openai whisper-here
  audio_ms_in       gone, was $0.003 per minute

2 changed, 1 new, 2 gone.
`,
  )
  assert.equal(formatPriceChanges(changesBetween(before, before)), 'No price changes.\n')
})

test('a book with one price less in a third is 33.3 % cheaper', () => {
  const of = (usd: string) =>
    readPriceFile({ source: 's', providers: { openai: { models: [{ id: 'm', prices: { in_text: usd } }] } } })
  assert.match(formatPriceChanges(changesBetween(of('3'), of('2'))), /-33\.3 %/)
  assert.match(formatPriceChanges(changesBetween(of('2000'), of('2001'))), /\+0 %/)
})

test("a project's own book is compared with what the project pays without it", () => {
  const own = readPriceFile({
    source: 'Contract',
    providers: { openai: { models: [{ id: 'gpt-5.4', prices: { in_text: '2' } }] } },
  })
  const changes = changesOfOverride(compilePriceBook(catalogue), undefined, own)
  assert.deepEqual(
    changes.map(change => [change.price, change.before, change.after]),
    [
      ['in_text', '2.5', '2'],
      // The own rate holds for every length.
      ['in_text above 271999 input tokens', '5', undefined],
    ],
  )
  const ended = changesOfOverride(compilePriceBook(catalogue), own, { format: 1, providers: {} })
  assert.deepEqual(
    ended.map(change => [change.price, change.before, change.after]),
    [
      ['in_text', '2', '2.5'],
      ['in_text above 271999 input tokens', undefined, '5'],
    ],
  )
})
