import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonPicker } from '../json-picker.ts'
import { fromChatCompletion } from './chat-completion.ts'
import { fromResponse, responseMembers } from './response.ts'
import { openResponsesTap } from './responses-tap.ts'

const usage = { input_tokens: 100, output_tokens: 20, total_tokens: 120 }

test('a container is counted once, however many calls ran in it, and a shell of the client is not charged', () => {
  const output = [
    { type: 'code_interpreter_call', id: 'ci_1', container_id: 'cntr_a' },
    { type: 'code_interpreter_call', id: 'ci_2', container_id: 'cntr_a' },
    { type: 'shell_call', id: 'sh_1', environment: { type: 'container_reference', container_id: 'cntr_a' } },
    { type: 'shell_call', id: 'sh_2', environment: { type: 'container_reference', container_id: 'cntr_b' } },
    { type: 'shell_call', id: 'sh_3', environment: { type: 'local' } },
    { type: 'mcp_call', id: 'mcp_1' },
    { type: 'computer_call', id: 'cu_1' },
    { type: 'file_search_call', id: 'fs_1' },
  ]
  assert.deepEqual(fromResponse({ model: 'gpt-5.5', usage, output }).quantities, {
    in_text: 100,
    out_text: 20,
    file_search_calls: 1,
    code_container_sessions: 2,
    code_container_gb_minutes: 10,
  })
})

test('searches are those that the reply says are charged, else those its items show', () => {
  const output = [
    { type: 'web_search_call', action: { type: 'search' } },
    { type: 'web_search_call', action: { type: 'search' } },
    { type: 'web_search_call', action: { type: 'open_page' } },
  ]
  assert.equal(fromResponse({ usage, output }).quantities.web_search_calls, 2)
  const told = fromResponse({ usage, output, tool_usage: { web_search: { num_requests: 1 } } })
  assert.equal(told.quantities.web_search_calls, 1)
  assert.deepEqual(told.raw_usage, { ...usage, tool_usage: { web_search: { num_requests: 1 } } })
  const nothing = fromResponse({ usage, output, tool_usage: { web_search: { num_requests: 0 } } })
  assert.equal(nothing.quantities.web_search_calls, undefined)
  assert.equal(nothing.raw_usage, usage)
})

test('containers count five minutes of their memory, whether the tool names one or has one made', () => {
  const output = [
    { type: 'code_interpreter_call', id: 'ci_1', container_id: 'cntr_a' },
    { type: 'shell_call', id: 'sh_1', environment: { type: 'container_reference', container_id: 'cntr_b' } },
  ]
  const minutes = (container: unknown, environment: unknown) => {
    const tools = [
      { type: 'code_interpreter', container },
      { type: 'shell', environment },
    ]
    const body = { model: 'gpt-5.5', usage, output, tools }
    const picker = new JsonPicker(responseMembers)
    picker.write(Buffer.from(JSON.stringify(body)))
    const { quantities, provenance } = fromResponse(body)
    assert.deepEqual(fromResponse(picker.value()).quantities, quantities)
    assert.deepEqual([provenance.code_container_gb_minutes, provenance.in_text], ['estimated', 'measured'])
    return quantities.code_container_gb_minutes
  }
  assert.equal(minutes({ type: 'auto', memory_limit: '4g' }, { type: 'container_auto', memory_limit: '16g' }), 100)
  assert.equal(minutes('cntr_a', { type: 'container_reference', container_id: 'cntr_b' }), 10)
  assert.equal(minutes({ type: 'auto', memory_limit: 'much' }, null), 10)
})

test('searches with the preview of the tool are told from those with the tool', () => {
  const output = [{ type: 'web_search_call', action: { type: 'search' } }]
  const modifiers = (type: string) => fromResponse({ usage, output, tools: [{ type }] }).modifiers
  assert.deepEqual(modifiers('web_search_preview_2025_03_11'), { web_search: 'preview' })
  assert.deepEqual(modifiers('web_search_2025_08_26'), {})
})

const image_gen = {
  input_tokens: 60,
  input_tokens_details: { text_tokens: 20, image_tokens: 40 },
  cached_tokens: 15,
  cached_tokens_details: { cached_image_tokens: 10, cached_text_tokens: 5 },
  output_tokens: 4160,
  total_tokens: 4220,
}
const imageReply = {
  model: 'gpt-5.5',
  usage,
  tools: [{ type: 'web_search' }, { type: 'image_generation', model: 'gpt-image-1.5' }],
  output: [{ type: 'image_generation_call', id: 'ig_1', status: 'completed' }],
  tool_usage: { image_gen, web_search: { num_requests: 0 } },
}

test('images that a reply made are tokens of the image model, priced as that model', () => {
  const result = fromResponse(imageReply)
  assert.deepEqual(result.parts, [
    {
      model: 'gpt-image-1.5',
      quantities: { in_text: 15, in_image: 30, in_cache_read: 5, in_cache_read_image: 10, out_image: 4160 },
    },
  ])
  assert.deepEqual(result.quantities, {
    in_text: 115,
    in_image: 30,
    in_cache_read: 5,
    in_cache_read_image: 10,
    out_text: 20,
    out_image: 4160,
  })
})

test('a tool that names no model draws with the one that its provider documents', () => {
  const [part] = fromResponse({ ...imageReply, tools: [{ type: 'image_generation' }] }).parts ?? []
  assert.equal(part?.model, 'gpt-image-2.6-sunburst')
})

test('what of an image came from the cache is told beside it or in its details', () => {
  const { cached_tokens, cached_tokens_details: _, ...others } = image_gen
  const details = { ...image_gen.input_tokens_details, cached_tokens, cached_tokens_details: { image_tokens: 10 } }
  const told = { image_gen: { ...others, input_tokens_details: details } }
  assert.deepEqual(fromResponse({ ...imageReply, tool_usage: told }).parts, fromResponse(imageReply).parts)
})

test('images whose tokens are not told are counted as calls without a price, never nothing', () => {
  const result = fromResponse({ ...imageReply, tool_usage: { image_gen: { input_tokens: 0, output_tokens: 0 } } })
  assert.deepEqual(result.quantities, { in_text: 100, out_text: 20, other_tool_calls: 1 })
  assert.equal(result.parts, undefined)
})

test('a streamed reply that made images is the same', () => {
  const tap = openResponsesTap({ model: 'gpt-5.5' })
  tap.write(Buffer.from(`data: ${JSON.stringify({ type: 'response.completed', response: imageReply })}\n\n`))
  assert.deepEqual(tap.usage(), fromResponse(imageReply))
})

test('a chat model that searches for every answer is charged its search, marked as not told', () => {
  const reply = (model: string) => fromChatCompletion({ model, usage: { prompt_tokens: 9, completion_tokens: 3 } })
  const { quantities, provenance } = reply('gpt-4o-search-preview-2025-03-11')
  assert.deepEqual(quantities, { in_text: 9, out_text: 3, web_search_calls: 1 })
  assert.equal(provenance.web_search_calls, 'estimated')
  assert.equal(reply('gpt-5-search-api').quantities.web_search_calls, 1)
  assert.equal(reply('gpt-5.5').quantities.web_search_calls, undefined)
})
