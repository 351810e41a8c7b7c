import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { countTokens, type Simulator, startSimulator } from '@sluice/simulator'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { anyCharacter } from '../../test/any-character.ts'
import { billOf, readCall, tokensOf } from '../../test/bounds/bound-witness.ts'
import type { CallBound } from './call-bound.ts'
import { clampOutput } from './clamp-output.ts'
import { tightenTextBound } from './tighten-bound.ts'

let simulator: Simulator
before(async () => {
  simulator = await startSimulator()
})
after(() => simulator.close())

const words = fc.array(
  fc.constantFrom('sea', 'internationalisation', '  ', '\n', '"', '\\', '{}', 'ﷺ', 'é', '각', '山', '🌊', 'Ａ', '½'),
  { maxLength: 40 },
)
const text = fc.oneof(
  words.map(parts => parts.join(' ')),
  fc.string({ unit: anyCharacter, maxLength: 40 }),
  fc.string({ maxLength: 200 }),
)

/** As Python writes it, as JavaScript does, or with spaces. */
const written = fc.constantFrom<(value: unknown) => string>(
  value => JSON.stringify(value),
  value => JSON.stringify(value, undefined, 2),
  value =>
    JSON.stringify(value).replace(/[\u007f-\uffff]/g, sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`),
)
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 })
const limit = fc.integer({ min: 1, max: 400 })
const orders = fc
  .record(
    {
      output_tokens: fc.integer({ min: 1, max: 600 }),
      reasoning: fc.integer({ min: 0, max: 300 }),
      cached: fc.integer({ min: 0, max: 50 }),
    },
    { requiredKeys: [] },
  )
  .map(
    order =>
      `[[sim ${Object.entries(order)
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}]]`,
  )
const functionTool = fc.record({ name: fc.constantFrom('read', 'write'), description: text })
const url = 'https://example.com/a.png'

const chats = fc.record({
  model: fc.constantFrom('gpt-5.4', 'gpt-5.4-mini', 'gpt-4.1', 'gpt-4o', 'gpt-4o-mini', 'gpt-4o-search-preview'),
  messages: fc
    .tuple(
      orders,
      fc.array(
        fc.oneof(
          text,
          fc.array(
            fc.oneof(
              text.map(part => ({ type: 'text', text: part })),
              fc.constant({ type: 'image_url', image_url: { url } }),
            ),
            { minLength: 1, maxLength: 4 },
          ),
        ),
        { maxLength: 3 },
      ),
    )
    .map(([order, contents]) => [...contents, order].map(content => ({ role: 'user', content }))),
  tools: maybe(
    fc.array(
      functionTool.map(tool => ({ type: 'function', function: tool })),
      { minLength: 1, maxLength: 3 },
    ),
  ),
  n: maybe(fc.integer({ min: 1, max: 4 })),
  max_tokens: maybe(limit),
  max_completion_tokens: maybe(limit),
  service_tier: maybe(fc.constantFrom('auto', 'default', 'flex', 'priority')),
  reasoning_effort: maybe(fc.constantFrom('high', 'none')),
  stream: maybe(fc.boolean()),
})

const responses = fc.record({
  model: fc.constantFrom('gpt-5.4', 'gpt-5.5', 'gpt-4.1-mini', 'gpt-4o'),
  instructions: maybe(text),
  input: fc
    .tuple(orders, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 }), fc.array(text, { maxLength: 3 }))
    .map(([order, searches, fileSearches, texts]) => [
      ...texts.map(part => ({ role: 'user', content: [{ type: 'input_text', text: part }] })),
      {
        role: 'user',
        content: `${order.slice(0, -2)} searches=${searches} file_searches=${fileSearches} code_runs=${fileSearches}]]`,
      },
    ]),
  tools: fc
    .constantFrom('web_search', 'web_search_preview')
    .map(type => [
      { type },
      { type: 'file_search', vector_store_ids: ['vs_1'] },
      { type: 'code_interpreter', container: { type: 'auto', memory_limit: '4g' } },
      { type: 'function', name: 'read', parameters: {} },
    ]),
  max_tool_calls: fc.constant(5),
  max_output_tokens: maybe(limit),
  service_tier: maybe(fc.constantFrom('auto', 'default', 'flex', 'priority')),
  reasoning: maybe(fc.constant({ effort: 'high' })),
})

const mark = fc.constantFrom(undefined, { type: 'ephemeral' }, { type: 'ephemeral', ttl: '1h' })
const messages = fc.record({
  model: fc.constantFrom('claude-sonnet-4-5', 'claude-sonnet-4-6', 'claude-opus-4-8', 'claude-haiku-4-5'),
  max_tokens: fc.integer({ min: 1, max: 2_000 }),
  system: maybe(fc.tuple(text, mark).map(([part, cache_control]) => [{ type: 'text', text: part, cache_control }])),
  messages: fc
    .tuple(orders, fc.integer({ min: 0, max: 3 }), fc.array(fc.tuple(text, mark), { maxLength: 3 }))
    .map(([order, searches, parts]) => [
      ...parts.map(([part, cache_control]) => ({
        role: 'user',
        content: [
          { type: 'text', text: part, cache_control },
          { type: 'image', source: { type: 'url', url } },
        ],
      })),
      { role: 'user', content: `${order.slice(0, -2)} searches=${searches}]]` },
    ]),
  tools: fc.constant([{ type: 'web_search_20250305', name: 'web_search', max_uses: 3 }]),
  thinking: maybe(fc.constant({ type: 'enabled', budget_tokens: 1_024 })),
  inference_geo: maybe(fc.constantFrom('us', 'global')),
  speed: maybe(fc.constantFrom('fast', 'standard')),
  stream: maybe(fc.boolean()),
})

const embeddings = fc.record({
  model: fc.constantFrom('text-embedding-3-small', 'text-embedding-3-large'),
  input: fc.oneof(
    text,
    fc.array(text, { minLength: 1, maxLength: 4 }),
    fc.array(fc.nat(200_000), { minLength: 1, maxLength: 30 }),
    fc.array(fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 4 }),
  ),
})

const compactions = fc.record({
  model: fc.constantFrom('gpt-5.4', 'gpt-4.1'),
  input: text.map(part => `${part} [[sim output_tokens=900]]`),
  service_tier: maybe(fc.constantFrom('flex', 'priority')),
})

const legacy = fc.record({
  model: fc.constant('claude-haiku-4-5'),
  prompt: text.map(part => `\n\nHuman: ${part} [[sim output_tokens=300]]\n\nAssistant:`),
  max_tokens_to_sample: limit,
})

const kinds: readonly [name: string, requests: fc.Arbitrary<object>][] = [
  ['chat.completions', chats],
  ['responses', responses],
  ['messages', messages],
  ['embeddings', embeddings],
  ['responses.compact', compactions],
  ['complete', legacy],
]

for (const [name, requests] of kinds)
  test(`${name}: nothing that the provider charges is above the bound`, async () => {
    await fc.assert(
      fc.asyncProperty(requests, written, async (request, write) => {
        const { request: read, bound } = readCall(name, write(request))
        const bill = await billOf(simulator, name, read.body as Buffer)
        assertWithin(bound, bound.outputTokens, bill)
      }),
      { numRuns: sized({ small: 20, full: 40 }) },
    )
  })

for (const [name, requests] of kinds.slice(0, 3))
  test(`${name}: with a smaller limit the provider keeps to what was left`, async () => {
    await fc.assert(
      fc.asyncProperty(requests, written, fc.integer({ min: 0, max: 3_000 }), async (request, write, more) => {
        const { request: read, bound } = readCall(name, write(request))
        const output = bound.outputWithin('tokens', bound.amount('tokens', bound.leastOutputTokens) + more)
        assert.ok(output >= bound.leastOutputTokens)
        assert.ok(bound.clamp)
        const clamped = clampOutput(read.body as Buffer, bound.clamp, output)
        assert.ok(clamped, 'what is at least of use can be put into the request')
        const bill = await billOf(simulator, name, clamped.body)
        assertWithin(bound, clamped.outputTokens, bill)
      }),
      { numRuns: sized({ small: 10, full: 20 }) },
    )
  })

for (const [name, requests] of kinds.slice(0, 3))
  test(`${name}: counted by tokens, nothing that the provider charges is above the bound`, async () => {
    // By the witness's own vocabulary.
    const count = async (json: string) => countTokens(json)
    await fc.assert(
      fc.asyncProperty(requests, async request => {
        const { request: read, call, bound } = readCall(name, JSON.stringify(request))
        const tight = await tightenTextBound(call, bound, count)
        assert.ok(tight.amount('tokens', 0) <= bound.amount('tokens', 0))
        assert.ok(tight.amount('usd', 0) <= bound.amount('usd', 0))
        assertWithin(tight, tight.outputTokens, await billOf(simulator, name, read.body as Buffer))
      }),
      { numRuns: sized({ small: 10, full: 20 }) },
    )
  })

function assertWithin(bound: CallBound, outputTokens: number, bill: Awaited<ReturnType<typeof billOf>>): void {
  assert.equal(bound.unboundedBy, undefined)
  assert.equal(bill.ended, 'completed')
  assert.ok(bill.billed.output <= outputTokens, `${bill.billed.output} of ${outputTokens} tokens of output`)
  const usd = bound.amount('usd', outputTokens)
  assert.ok(bill.cost_nano_usd <= usd, `${bill.cost_nano_usd} of ${usd} nano-USD: ${JSON.stringify(bill.lines)}`)
  const tokens = bound.amount('tokens', outputTokens)
  assert.ok(tokensOf(bill) <= tokens, `${tokensOf(bill)} of ${tokens} tokens`)
}
