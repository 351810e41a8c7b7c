import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { fromMessage, messageMembers } from './anthropic/message.ts'
import { JsonPicker, type PickedMembers } from './json-picker.ts'
import { chatCompletionMembers, fromChatCompletion } from './openai/chat-completion.ts'
import { embeddingMembers, fromEmbedding } from './openai/embedding.ts'
import { fromResponse, responseMembers } from './openai/response.ts'

const pick = (text: string, members: PickedMembers, size = text.length): JsonPicker => {
  const picker = new JsonPicker(members)
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) picker.write(bytes.subarray(at, at + size))
  return picker
}

const odd = { '"\\ü\n': ['"]}\\', '\\"', { a: [[], {}, null, -1.5e3, true] }], toString: 1, __proto: '{' }
const replies: Record<string, { members: PickedMembers; convert: (reply: unknown) => unknown; reply: object }> = {
  chat: {
    members: chatCompletionMembers,
    convert: fromChatCompletion,
    reply: {
      id: 'chatcmpl-ü"1',
      odd,
      choices: [
        { odd, message: { content: 'Hello', audio: { id: 'a', data: 'UklG'.repeat(90) } }, finish_reason: null },
        { logprobs: { content: [{ token: 'x', top_logprobs: [] }] }, finish_reason: 'stop' },
      ],
      model: 'gpt-audio',
      service_tier: 'priority',
      usage: { prompt_tokens: 9, completion_tokens: 7, completion_tokens_details: { audio_tokens: 5, odd } },
    },
  },
  responses: {
    members: responseMembers,
    convert: fromResponse,
    reply: {
      id: 'resp_1',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens', odd },
      tools: [odd, { type: 'image_generation', model: 'gpt-image-1-mini', odd }],
      output: [
        { type: 'image_generation_call', id: 'ig_1', result: 'iVBO'.repeat(500), odd },
        { type: 'web_search_call', action: { type: 'search', query: 'q', sources: [odd] } },
        { type: 'web_search_call', action: { type: 'open_page', url: 'u' } },
        { type: 'code_interpreter_call', id: 'ci_1', container_id: 'cntr_1', outputs: [odd] },
        { type: 'shell_call', environment: { type: 'container', container_id: 'cntr_2' } },
        'no item',
      ],
      model: 'gpt-5.4',
      service_tier: 'flex',
      tool_usage: { image_gen: { input_tokens: 11, output_tokens: 12_000 }, web_search: { num_requests: 3 } },
      usage: { input_tokens: 5, output_tokens: 6, odd },
    },
  },
  messages: {
    members: messageMembers,
    convert: fromMessage,
    reply: {
      id: 'msg_1',
      content: [{ type: 'text', text: 'Hi', odd }],
      model: 'claude-opus-4-6',
      stop_reason: 'end_turn',
      usage: {
        input_tokens: 3,
        output_tokens: 50,
        cache_creation: { ephemeral_1h_input_tokens: 4 },
        iterations: [
          { type: 'message', input_tokens: 3, output_tokens: 50, cache_creation: { ephemeral_1h_input_tokens: 4 } },
          { type: 'advisor', model: 'claude-haiku-4-5', input_tokens: 1, output_tokens: 2, cache_creation: {} },
        ],
      },
    },
  },
  embeddings: {
    members: embeddingMembers,
    convert: fromEmbedding,
    reply: { data: [{ embedding: [0.1, -1e-7] }, odd], model: 'text-embedding-3-large', usage: { prompt_tokens: 500 } },
  },
}

for (const [shape, { members, convert, reply }] of Object.entries(replies))
  test(`what is picked out of a reply converts as the whole of it does, whatever the borders of chunks: ${shape}`, () => {
    for (const text of [JSON.stringify(reply), JSON.stringify(reply, null, 2)])
      for (const size of [1, 2, 3, 7, 64, text.length]) {
        const picker = pick(text, members, size)
        assert.equal(picker.isWhole, true)
        assert.deepEqual(convert(picker.value()), convert(reply))
      }
  })

test('what is said is counted, images, sound and names are not', () => {
  const text = JSON.stringify({
    output: [
      { id: 'msg_1', type: 'message', content: [{ type: 'output_text', text: 'four', logprobs: [{ token: 'x' }] }] },
      { type: 'image_generation_call', result: 'A'.repeat(10_000) },
      { type: 'function_call', call_id: 'c', arguments: '{}' },
    ],
    instructions: 'not said',
  })
  for (const size of [1, 5, text.length])
    assert.deepEqual(pick(text, responseMembers, size).text, { bytes: 6, beginning: 'four{}' })
})

test('any JSON is read as JSON.parse reads it, whatever the borders of chunks', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.integer({ min: 1, max: 40 }), (json, size) => {
      const picker = pick(`{"kept":${json},"other":${json}}`, { members: { kept: 'whole' } }, size)
      assert.equal(picker.isWhole, true)
      assert.deepEqual(picker.value(), JSON.parse(JSON.stringify({ kept: JSON.parse(json) })))
    }),
    { numRuns: sized({ small: 100, full: 500 }), seed: 7 },
  )
})

test('what breaks off is kept up to there', () => {
  const { reply } = replies.responses as { reply: object }
  const text = JSON.stringify(reply)
  for (let end = 1; end < text.length; end += sized({ small: 7, full: 1 })) {
    const picker = pick(text.slice(0, end), responseMembers)
    assert.equal(picker.isWhole, false)
    assert.ok(typeof picker.value() === 'object')
  }
  assert.equal(fromResponse(pick(text.slice(0, 40), responseMembers).value()).response_id, 'resp_1')
})

test('what is no object, or has more to keep than fits, reads as nothing, in bounded memory', () => {
  assert.equal(pick('<html>"{', responseMembers).value(), undefined)
  assert.equal(pick('', responseMembers).value(), undefined)
  const usage = pick(`{"usage":[${'1,'.repeat(sized({ small: 600_000, full: 2_000_000 }))}1]}`, responseMembers)
  assert.equal(usage.value(), undefined)
  const deep = pick(`{"usage":${'['.repeat(100_000)}`, responseMembers)
  assert.equal(deep.isWhole, false)
})

test('an embedding of 19 MB is read without its vectors', () => {
  const vector = `[${'-0.012345,'.repeat(3071)}0.1]`
  const data = Array.from({ length: 500 }, (_, index) => `{"index":${index},"embedding":${vector}}`).join(',')
  const text = `{"data":[${data}],"model":"m","usage":{"prompt_tokens":250000,"total_tokens":250000}}`
  assert.ok(text.length > 15_000_000)
  assert.deepEqual(fromEmbedding(pick(text, embeddingMembers, 65_536).value()).quantities, { in_text: 250_000 })
})
