import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { UsageRecordedData } from '@sluice/contracts'
import { type GatewayStack, readChunks, type TestProject } from '../gateway-stack.ts'
import { inPieces, type ScriptedProvider } from '../scripted-provider.ts'

const base64 = (bytes: number) => 'iVBORw0KGgoA'.repeat(Math.ceil(bytes / 12))
const large = 5 * 1024 * 1024

interface LargeReply {
  path: string
  asked: object
  /** `size`: bytes of what is not metered in it. */
  reply: (size: number) => object
  expected: Pick<UsageRecordedData, 'quantities' | 'modifiers' | 'served_model' | 'response_id' | 'finish_reason'>
}

const replies: Record<string, LargeReply> = {
  'a response of two images': {
    path: '/v1/responses',
    asked: { model: 'gpt-5.4-mini', input: 'Draw.' },
    reply: size => ({
      id: 'resp_large',
      object: 'response',
      status: 'completed',
      model: 'gpt-5.4-mini',
      service_tier: 'default',
      output: [
        { type: 'web_search_call', id: 'ws_1', action: { type: 'search', query: 'sea' } },
        { type: 'image_generation_call', id: 'ig_1', result: base64(size / 2) },
        { type: 'image_generation_call', id: 'ig_2', result: base64(size / 2) },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Here.' }] },
      ],
      tools: [{ type: 'image_generation', model: 'gpt-image-1' }],
      tool_usage: {
        image_gen: { input_tokens: 100, output_tokens: 12_000, total_tokens: 12_100 },
        web_search: { num_requests: 1 },
      },
      usage: { input_tokens: 40, output_tokens: 20, output_tokens_details: { reasoning_tokens: 5 }, total_tokens: 60 },
    }),
    expected: {
      quantities: { in_text: 140, out_text: 20, out_reasoning: 5, out_image: 12_000, web_search_calls: 1 },
      modifiers: { service_tier: 'default' },
      served_model: 'gpt-5.4-mini',
      response_id: 'resp_large',
      finish_reason: 'completed',
    },
  },
  'a chat completion with sound': {
    path: '/v1/chat/completions',
    asked: { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'Sing.' }] },
    reply: size => ({
      id: 'chatcmpl-large',
      object: 'chat.completion',
      model: 'gpt-5.4-mini',
      service_tier: 'priority',
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          message: {
            role: 'assistant',
            content: null,
            audio: { id: 'audio_1', data: base64(size), transcript: 'La.' },
          },
        },
      ],
      usage: {
        prompt_tokens: 30,
        completion_tokens: 900,
        total_tokens: 930,
        completion_tokens_details: { audio_tokens: 880 },
      },
    }),
    expected: {
      quantities: { in_text: 30, out_text: 20, out_audio: 880 },
      modifiers: { service_tier: 'priority' },
      served_model: 'gpt-5.4-mini',
      response_id: 'chatcmpl-large',
      finish_reason: 'stop',
    },
  },
  'a message with iterations': {
    path: '/anthropic/v1/messages',
    asked: { model: 'claude-sonnet-4-6', max_tokens: 1_000, messages: [{ role: 'user', content: 'Fetch it.' }] },
    reply: size => ({
      id: 'msg_large',
      type: 'message',
      role: 'assistant',
      model: 'claude-sonnet-4-6',
      content: [
        {
          type: 'web_fetch_tool_result',
          tool_use_id: 'srv_1',
          content: { source: { type: 'base64', data: base64(size) } },
        },
        { type: 'text', text: 'It says so.' },
      ],
      stop_reason: 'end_turn',
      usage: {
        input_tokens: 1_200,
        output_tokens: 50,
        cache_read_input_tokens: 0,
        cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
        server_tool_use: { web_search_requests: 0, web_fetch_requests: 1 },
        service_tier: 'standard',
        iterations: [
          { type: 'message', input_tokens: 1_200, output_tokens: 50, cache_creation: { ephemeral_5m_input_tokens: 0 } },
        ],
      },
    }),
    expected: {
      quantities: { in_text: 1_200, out_text: 50, web_fetch_calls: 1 },
      modifiers: { service_tier: 'standard' },
      served_model: 'claude-sonnet-4-6',
      response_id: 'msg_large',
      finish_reason: 'end_turn',
    },
  },
  'a compaction': {
    path: '/v1/responses/compact',
    asked: { model: 'gpt-5.4-mini', input: 'Much.' },
    reply: size => ({
      id: 'cmp_large',
      object: 'response.compaction',
      output: [{ id: 'cmp_1', type: 'compaction', encrypted_content: base64(size) }],
      usage: { input_tokens: 90_000, output_tokens: 400_000, total_tokens: 490_000 },
    }),
    expected: { quantities: { in_text: 90_000, out_text: 400_000 }, modifiers: {}, response_id: 'cmp_large' },
  },
}

/** The size of a reply changes nothing of what it costs. */
export function largeRepliesAreRead(gateway: GatewayStack, provider: ScriptedProvider, scripted: TestProject): void {
  const settle = async ({ path, asked }: LargeReply, bytes: Buffer, how: { breaks?: boolean } = {}) => {
    const script = provider.add({
      headers: ['content-type', 'application/json'],
      chunks: inPieces(bytes, 48 * 1024 + 1),
      ...how,
    })
    const answer = await gateway.post(path, scripted.apiKey, asked, { headers: { 'x-script': script } })
    const got = await readChunks(answer.body).catch(() => undefined)
    if (!how.breaks) assert.ok(got && Buffer.concat(got).equals(bytes), 'byte for byte')
    return gateway.eventOf(answer.headers.get('sluice-call-id'))
  }

  suite('large replies', () => {
    for (const [name, reply] of Object.entries(replies)) {
      test(`${name} of 300 kB and of 5 MB is counted to the token, as a small one is`, async () => {
        const small = await settle(reply, Buffer.from(JSON.stringify(reply.reply(1_200))))
        const passing = await settle(reply, Buffer.from(JSON.stringify(reply.reply(300 * 1024))))
        const event = await settle(reply, Buffer.from(JSON.stringify(reply.reply(large))))
        for (const at of [small, passing, event])
          for (const member of Object.keys(reply.expected) as (keyof typeof reply.expected)[])
            assert.deepEqual(at[member], reply.expected[member], member)
        assert.ok(Object.values(event.provenance).every(mark => mark === 'measured'))
        assert.equal(event.cost_nano_usd, small.cost_nano_usd)
        assert.deepEqual(event.raw_usage, small.raw_usage)
        assert.deepEqual(event.doubts, small.doubts)
      })
    }

    test('a reply of 5 MB that breaks off before its usage is estimated by what it says, not by its images', async () => {
      for (const [name, reply] of Object.entries(replies)) {
        if (name === 'a compaction') continue
        const whole = Buffer.from(JSON.stringify(reply.reply(large)))
        const event = await settle(reply, whole.subarray(0, 4_500_000), { breaks: true })
        assert.ok((event.quantities.out_text ?? 0) < 100, `${name}: ${event.quantities.out_text}`)
        assert.equal(event.response_id, reply.expected.response_id)
      }
    })

    test('what is no JSON counts up to the length of the longest answers', async () => {
      const reply = replies['a chat completion with sound'] as LargeReply
      const event = await settle(reply, Buffer.from(`<html>${'x'.repeat(large)}`))
      assert.deepEqual(event.quantities.out_text, Math.ceil((512 * 1024) / 3.6))
      assert.deepEqual(event.doubts, ['usage_missing'])
    })
  })
}
