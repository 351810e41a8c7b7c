import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findProvider } from '@pydantic/genai-prices'
import { sized } from '@sluice/test-env/test-size'
import { readCall } from '../../test/bounds/bound-witness.ts'
import { findModelLimits } from './model-limits.ts'
import { tightenTextBound } from './tighten-bound.ts'

const hello = [{ role: 'user', content: 'Hello' }]
const boundOf = (name: string, request: object) => readCall(name, JSON.stringify(request)).bound
const lengthOf = (request: object) => Buffer.byteLength(JSON.stringify(request))
/** Nano-USD for one more token of output. */
const perToken = (name: string, request: object) => {
  const bound = boundOf(name, request)
  return bound.amount('usd', 1_001) - bound.amount('usd', 1_000)
}

test('a plain chat is bounded by its bytes, its limit and the tier that it is served in at most', () => {
  const request = { model: 'gpt-4o', messages: hello, max_tokens: 100, service_tier: 'default' }
  const bound = boundOf('chat.completions', request)
  assert.equal(bound.amount('tokens', 100), lengthOf(request) + 100)
  // $2.50 and $10 a million.
  assert.equal(bound.amount('usd', 100), lengthOf(request) * 2_500 + 100 * 10_000 + 16)
  assert.equal(bound.amount('requests', 100), 1)
  assert.equal(bound.amount('concurrent', 100), 1)
  assert.equal(perToken('chat.completions', request), 10_000)
  for (const service_tier of ['priority', 'auto', undefined])
    assert.equal(perToken('chat.completions', { ...request, service_tier }), 17_000, service_tier)
})

test('without a limit of its own a request may put out what its model can, for each of its answers', () => {
  assert.equal(boundOf('chat.completions', { model: 'gpt-4o', messages: hello }).outputTokens, 16_384)
  assert.equal(boundOf('chat.completions', { model: 'gpt-4o', messages: hello, n: 3 }).outputTokens, 3 * 16_384)
  assert.equal(boundOf('responses.compact', { model: 'gpt-4o', input: 'x' }).outputTokens, 16_384)
  assert.equal(boundOf('responses.compact', { model: 'gpt-4o', input: 'x' }).clamp, undefined)
  assert.equal(boundOf('embeddings', { model: 'text-embedding-3-small', input: 'x' }).outputTokens, 0)
  for (const max_tokens of [-1, '100', 1.5, 0])
    assert.equal(boundOf('chat.completions', { model: 'gpt-4o', messages: hello, max_tokens }).outputTokens, 16_384)
})

test('of two limits the larger one counts: nobody knows which the provider keeps to', () => {
  const of = (limits: object) =>
    boundOf('chat.completions', { model: 'gpt-4o', messages: hello, ...limits }).outputTokens
  assert.equal(of({ max_completion_tokens: 100, max_tokens: 300 }), 300)
  assert.equal(of({ max_completion_tokens: 300, max_tokens: 100 }), 300)
})

test('a fast mode counts where it is asked for, a place where no other is', () => {
  const of = (more: object) =>
    perToken('messages', { model: 'claude-opus-4-8', max_tokens: 2_000, messages: hello, ...more })
  assert.equal(of({ inference_geo: 'global' }), 25_000)
  assert.equal(of({ inference_geo: 'global', speed: 'fast' }), 50_000)
  assert.equal(of({ inference_geo: 'us' }), 27_500)
  assert.equal(of({}), 27_500)
})

test('the dearer tier of a long prompt counts once its bytes may reach it, and no longer when its tokens do not', async () => {
  const request = (bytes: number) => ({
    model: 'gpt-5.5',
    service_tier: 'default',
    messages: [{ role: 'user', content: 'a '.repeat(bytes / 2) }],
  })
  assert.equal(perToken('chat.completions', request(200_000)), 30_000)
  assert.equal(perToken('chat.completions', request(280_000)), 45_000)
  const { call, bound } = readCall('chat.completions', JSON.stringify(request(280_000)))
  const tight = await tightenTextBound(call, bound, async () => 140_000)
  assert.equal(tight.tightness, 'tight')
  assert.equal(tight.amount('usd', 1_001) - tight.amount('usd', 1_000), 30_000)
  assert.equal(tight.amount('tokens', 0), 154_000)
})

test('where nobody can count now, bytes have to do', async () => {
  const { call, bound } = readCall('responses', JSON.stringify({ model: 'gpt-5.4', input: 'Hello' }))
  assert.equal(await tightenTextBound(call, bound, () => Promise.reject(new Error('busy'))), bound)
  const other = readCall('messages', JSON.stringify({ model: 'claude-opus-4-5', max_tokens: 9, messages: '山' }))
  assert.equal(
    await tightenTextBound(other.call, other.bound, () => assert.fail('of its vocabulary nobody knows enough')),
    other.bound,
  )
})

test('a cache is paid for where the request writes one, for as long as it says', () => {
  const request = (cache_control?: object) => ({
    model: 'claude-opus-4-5',
    max_tokens: 100,
    inference_geo: 'global',
    messages: [{ role: 'user', content: [{ type: 'text', text: 'x'.repeat(1_000), cache_control }] }],
  })
  const perByte = (cache_control?: object) =>
    (boundOf('messages', request(cache_control)).amount('usd', 0) - 16) / lengthOf(request(cache_control))
  assert.equal(perByte(), 5_000)
  assert.equal(perByte({ type: 'ephemeral' }), 6_250)
  assert.equal(perByte({ type: 'ephemeral', ttl: '1h' }), 10_000)
})

test('what the provider keeps or fetches fills the window of the model', () => {
  const window = (name: string, request: object) => boundOf(name, request).amount('tokens', 0)
  const base = { model: 'gpt-4o', input: 'x' }
  assert.ok(window('responses', base) < 100)
  for (const more of [
    { previous_response_id: 'resp_1' },
    { conversation: 'conv_1' },
    { prompt: { id: 'pmpt_1' } },
    { input: [{ type: 'item_reference', id: 'msg_1' }] },
    { input: [{ id: 'rs_1' }] },
    { input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://example.com/a.pdf' }] }] },
  ])
    assert.equal(window('responses', { ...base, ...more }), 128_000, JSON.stringify(more))
  const content = [{ type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } }]
  assert.equal(
    window('messages', { model: 'claude-haiku-4-5', max_tokens: 9, messages: [{ role: 'user', content }] }),
    200_000,
  )
  // Told in a text it is none.
  assert.ok(window('responses', { model: 'gpt-4o', input: [{ role: 'user', content: '{"type":"input_file"}' }] }) < 100)
})

test('images count the most that the model charges for one, wherever they come from', () => {
  const part = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
  const inline = { type: 'image_url', image_url: { url: `data:image/png;base64,${'iVBORw0KGgo'.repeat(1_000)}` } }
  const tokens = (model: string, parts: object[]) =>
    boundOf('chat.completions', { model, messages: [{ role: 'user', content: parts }] }).amount('tokens', 0)
  const text = { type: 'text', text: 'x' }
  const added = tokens('gpt-4o', [text, part]) - tokens('gpt-4o', [text])
  assert.equal(added, 1_445 + JSON.stringify(part).length + 1)
  assert.ok(tokens('gpt-4o-mini', [part, part]) > 2 * 48_169)
  assert.ok(tokens('gpt-4o', [inline]) < 1_445 + 300)
})

const said = (content: object[]) => [{ role: 'user', content }]
const chat = { model: 'gpt-4o', messages: hello, max_tokens: 100 }
const claude = { model: 'claude-opus-4-6', messages: hello, max_tokens: 100 }
const picture = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
const kept = { type: 'text', text: 'Hello', cache_control: { type: 'ephemeral', ttl: '1h' } }
const sound = {
  type: 'input_audio',
  input_audio: { format: 'wav', data: 'UklGR'.repeat(sized({ small: 40_000, full: 400_000 })) },
}
const file = { type: 'input_file', file_url: 'https://example.com/a.pdf' }
for (const [word, name, request] of [
  ['priority', 'chat.completions', { ...chat, service_tier: 'priority' }],
  ['image_url', 'chat.completions', { ...chat, model: 'gpt-4o-mini', messages: said(Array(9).fill(picture)) }],
  ['input_audio', 'chat.completions', { ...chat, model: 'gpt-4o-audio-preview', messages: said([sound]) }],
  ['data', 'chat.completions', { ...chat, model: 'gpt-4o-audio-preview', messages: said([sound]) }],
  ['input_file', 'responses', { model: 'gpt-4o', max_output_tokens: 100, input: said([file]) }],
  ['web_search', 'responses', { model: 'gpt-4o', max_output_tokens: 100, input: 'x', tools: [{ type: 'web_search' }] }],
  ['fast', 'messages', { ...claude, speed: 'fast' }],
  ['us', 'messages', { ...claude, inference_geo: 'us' }],
  ['1h', 'messages', { ...claude, messages: said([kept]) }],
  ['compact', 'messages', { ...claude, context_management: { edits: [{ type: 'compact_20260112' }] } }],
] as const)
  test(`no escape makes a bound smaller: ${word}`, () => {
    const json = JSON.stringify(request)
    const plain = readCall(name, json).bound
    for (const [at, letter] of [...word].entries()) {
      const coded = `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
      const escaped = readCall(name, json.replaceAll(word, `${word.slice(0, at)}${coded}${word.slice(at + 1)}`)).bound
      assert.ok(
        escaped.amount('usd', 100) >= plain.amount('usd', 100),
        `${coded}: ${escaped.amount('usd', 100)} nano-USD`,
      )
      assert.equal(escaped.unboundedBy, plain.unboundedBy, coded)
    }
  })

test('tools that run at the provider count a window for each use, and what has no count has no bound', () => {
  const of = (request: object) => boundOf('responses', { model: 'gpt-4o', input: 'x', ...request })
  const searches = of({ tools: [{ type: 'web_search' }], max_tool_calls: 2 })
  assert.ok(searches.amount('tokens', 0) > 256_000)
  assert.ok(searches.amount('usd', 0) > 20_000_000)
  assert.equal(searches.unboundedBy, undefined)
  assert.match(String(of({ tools: [{ type: 'web_search' }] }).unboundedBy), /web_search.*max_tool_calls/)
  assert.equal(
    of({ tools: [{ type: 'mcp', server_url: 'https://example.com' }], max_tool_calls: 2 }).unboundedBy,
    '"mcp"',
  )
  assert.equal(of({ tools: [{ type: 'function', name: 'x', parameters: { type: 'object' } }] }).unboundedBy, undefined)
  const claude = (tools: object[]) =>
    boundOf('messages', { model: 'claude-opus-4-5', max_tokens: 9, messages: hello, tools })
  assert.equal(claude([{ type: 'web_fetch_20250910', name: 'f', max_uses: 1 }]).unboundedBy, undefined)
  assert.ok(claude([{ type: 'web_search_20250305', name: 's' }]).unboundedBy)
  assert.ok(claude([{ type: 'code_execution_20250825', name: 'c' }]).unboundedBy)
  assert.equal(
    claude([
      { name: 'read', input_schema: {} },
      { type: 'bash_20250124', name: 'bash' },
    ]).unboundedBy,
    undefined,
  )
})

test('each model that may answer in place of another is counted, and a model that nobody names has no bound', () => {
  const of = (fallbacks: unknown) =>
    boundOf('messages', { model: 'claude-haiku-4-5', max_tokens: 1_000, messages: hello, fallbacks })
  const alone = of(undefined)
  const both = of([{ model: 'claude-haiku-4-5' }])
  assert.ok(both.amount('usd', 1_000) >= 2 * alone.amount('usd', 1_000) - 16)
  assert.ok(both.amount('tokens', 1_000) >= 2 * alone.amount('tokens', 1_000))
  assert.equal(of('default').unboundedBy, '"fallbacks"')
})

test('predictions that turn out wrong are charged as output beside the limit', () => {
  const prediction = { type: 'content', content: 'x'.repeat(500) }
  const request = { model: 'gpt-4o', messages: hello, max_tokens: 10 }
  const added =
    boundOf('chat.completions', { ...request, prediction }).amount('tokens', 10) -
    boundOf('chat.completions', request).amount('tokens', 10)
  assert.ok(added >= 1_000)
})

test('no window of a model is below the one that the catalogue of prices has', () => {
  for (const dialect of ['openai', 'anthropic'] as const)
    for (const { id, context_window } of findProvider({ providerId: dialect })?.models ?? []) {
      const { contextTokens, outputTokens } = findModelLimits(dialect, id)
      assert.ok(contextTokens >= (context_window ?? 0), `${id}: ${contextTokens} of ${context_window}`)
      assert.ok(outputTokens <= contextTokens, id)
    }
})
