import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Dialect } from '@sluice/contracts'
import { Refusal } from '../refusal.ts'
import { JsonScanError, scanObject } from '../scan-json.ts'
import { findNamedModels, namingMembers } from './find-named-models.ts'

function find(dialect: Dialect, body: string | object): Record<string, string> {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const { members } = scanObject(bytes, new Set(namingMembers))
  return Object.fromEntries(findNamedModels({ bytes, members, dialect }).map(({ member, model }) => [member, model]))
}

test('every place where a provider reads the name of one more model is found', () => {
  const image = { type: 'image_generation', model: 'a' }
  const places: [Dialect, object, string][] = [
    ['openai', { tools: [image] }, 'tools[0].model'],
    ['openai', { tools: [{ type: 'web_search' }, { type: 'of_tomorrow', model: 'a' }] }, 'tools[1].model'],
    ['openai', { tools: [{ type: 'image_generation', svg: { model: 'a' } }] }, 'tools[0].svg.model'],
    ['openai', { tools: [{ type: 'namespace', name: 'x', tools: [image] }] }, 'tools[0].tools[0].model'],
    ['openai', { tools: { model: 'a' } }, 'tools.model'],
    ['openai', { input: [{ type: 'additional_tools', tools: [image] }] }, 'input[0].tools[0].model'],
    ['openai', { svg: { model: 'a' } }, 'svg.model'],
    ['openai', { models: ['a'] }, 'models[0]'],
    ['openai', { fallbacks: ['a'] }, 'fallbacks[0]'],
    ['anthropic', { tools: [{ type: 'advisor_20260301', name: 'advisor', model: 'a' }] }, 'tools[0].model'],
    ['anthropic', { fallbacks: [{ model: 'a', max_tokens: 9 }] }, 'fallbacks[0].model'],
    [
      'anthropic',
      { messages: [{ content: [{ type: 'tool_addition', tool: { definition: { model: 'a' } } }] }] },
      'messages[0].content[0].tool.definition.model',
    ],
  ]
  for (const [dialect, body, member] of places)
    assert.deepEqual(find(dialect, body), { [member]: 'a' }, JSON.stringify(body))
})

test('a list of fallbacks that the provider is to choose counts as any model', () => {
  assert.deepEqual(find('anthropic', { fallbacks: 'default' }), { fallbacks: '*' })
  assert.deepEqual(find('anthropic', { fallbacks: null }), {})
})

test('escapes and spaces hide no model', () => {
  for (const body of [
    '{"tools":[{"mod\\u0065l":"a"}]}',
    '{"tools":[{"\\u006Dodel" : "\\u0061"}]}',
    '{"tools":[{"model"\n:\t"a"}]}',
    '{"to\\u006fls":[{"model":"a"}]}',
    '{"tools":[{"model":{"type":"string"}},{"model":"a"}]}',
    '{"input":[{"t\\u006fols":[{"model":"a"}]}]}',
    '{"input":[{"tools":[{"m\\u006fdel":"a"}]}]}',
    '{"tools":[{"description":"\\\\\\"model\\":\\"b\\"","model":"a"}]}',
  ])
    assert.deepEqual(Object.values(find('openai', body)), ['a'], body)
})

test('what a client only tells of, or has its own tools take, names no model', () => {
  const schema = { type: 'object', properties: { model: { type: 'string', default: { model: 'x' } } }, model: 'x' }
  const bodies: [Dialect, object][] = [
    ['openai', { tools: [{ type: 'function', name: 'spawn', parameters: schema }] }],
    ['openai', { tools: [{ type: 'function', function: { name: 'spawn', parameters: schema } }] }],
    ['openai', { input: [{ type: 'message', content: [{ type: 'output_text', text: '"tools": {"model": "x"}' }] }] }],
    ['openai', { input: [{ type: 'mcp_list_tools', tools: [{ input_schema: schema, annotations: { model: 'x' } }] }] }],
    ['openai', { input: [{ type: 'custom', model: 'x' }], metadata: { model: 'x' } }],
    ['anthropic', { tools: [{ name: 'spawn', input_schema: schema, input_examples: [{ model: 'x' }] }] }],
    ['anthropic', { messages: [{ content: [{ type: 'tool_use', input: { definition: { model: 'x' } } }] }] }],
    ['anthropic', { messages: [{ content: [{ type: 'fallback', from: { model: 'x' }, to: { model: 'y' } }] }] }],
    ['openai', { tools: null, input: 'tools model' }],
  ]
  for (const [dialect, body] of bodies) assert.deepEqual(find(dialect, body), {}, JSON.stringify(body))
})

test('a place that names two models is refused, in whatever order and spelling', () => {
  for (const body of [
    '{"tools":[{"model":"a","model":"b"}]}',
    '{"tools":[{"model":"a","type":"x","mod\\u0065l":"b"}]}',
    '{"tools":[{"svg":{"model":"a"},"svg":{"model":"b"}}]}',
    '{"fallbacks":[{"model":"a","model":"a"}]}',
    '{"input":[{"tools":[{"model":"a"}],"tools":[{"model":"b"}]}]}',
  ])
    assert.throws(() => find(body.includes('fallbacks') ? 'anthropic' : 'openai', body), JsonScanError, body)
})

test('a name that could not be a model is refused, and so are more names than anyone needs', () => {
  for (const model of ['', 'x'.repeat(257), 'a\u0000'])
    assert.throws(
      () => find('openai', { tools: [{ model }] }),
      (error: unknown) => error instanceof Refusal && error.reason === 'model_missing',
    )
  const tools = (count: number) => ({ tools: Array.from({ length: count }, (_, index) => ({ model: `m${index}` })) })
  assert.equal(Object.keys(find('openai', tools(64))).length, 64)
  assert.throws(() => find('openai', tools(65)), Refusal)
})

test('a model behind 400 kB of tools is found, and a client’s names of members never come into an error', () => {
  const tools: object[] = Array.from({ length: 1_000 }, (_, index) => ({
    type: 'function',
    name: `tool_${index}`,
    description: 'Says "model": "x" and more. '.repeat(12),
    parameters: { type: 'object', properties: { model: { type: 'string' } } },
  }))
  assert.deepEqual(find('openai', { tools }), {})
  tools.push({ type: 'image_generation', model: 'a' })
  assert.ok(JSON.stringify({ tools }).length > 400_000)
  assert.deepEqual(find('openai', { tools }), { 'tools[1000].model': 'a' })
  assert.deepEqual(find('openai', { tools: [{ 'secret\n': { model: 'a' } }] }), { 'tools…': 'a' })
})
