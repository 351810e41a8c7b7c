import Anthropic from '@anthropic-ai/sdk'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'

const client = '@anthropic-ai/sdk'

function open({ anthropicBaseUrl, apiKey, headers }: Setup): Anthropic {
  return new Anthropic({ baseURL: anthropicBaseUrl, apiKey, defaultHeaders: headers, maxRetries: 0 })
}

const message = (orders: string) => ({
  model: 'claude-sonnet-4-6',
  max_tokens: 1_000,
  messages: [{ role: 'user' as const, content: promptOf(orders) }],
})

const legacy = (orders: string) => ({
  model: 'claude-sonnet-4-6',
  max_tokens_to_sample: 1_000,
  prompt: `\n\nHuman: ${promptOf(orders)}\n\nAssistant:`,
})

/** The official Anthropic SDK. */
export const anthropicSdk: readonly ClientCalls[] = [
  {
    client,
    endpoint: 'messages',
    orders: 'cached=8 cache_write=5 cache_write_1h=3 reasoning=16 searches=2',
    plain: (setup, orders, signal) => open(setup).messages.create(message(orders), { signal }),
    streamed: async (setup, orders, signal) => open(setup).messages.stream(message(orders), { signal }),
  },
  {
    client,
    endpoint: 'messages: a tool, inferred in the US',
    orders: 'tool=look tool_tokens=30',
    plain: (setup, orders, signal) =>
      open(setup).messages.create({ ...message(orders), ...inTheUs, tools: [tool] }, { signal }),
    streamed: async (setup, orders, signal) =>
      open(setup).messages.stream({ ...message(orders), ...inTheUs, tools: [tool] }, { signal }),
  },
  {
    client,
    endpoint: 'messages.count_tokens',
    plain: (setup, orders, signal) =>
      open(setup).messages.countTokens({ model: 'claude-sonnet-4-6', messages: message(orders).messages }, { signal }),
  },
  {
    client,
    endpoint: 'complete',
    isTold: false,
    // The SDK has no method of its own for it any more.
    plain: (setup, orders, signal) => open(setup).post('/v1/complete', { body: legacy(orders), signal }),
    streamed: async (setup, orders, signal) => {
      const body = { ...legacy(orders), stream: true }
      return (await open(setup).post('/v1/complete', { body, stream: true, signal })) as AsyncIterable<unknown>
    },
  },
]

const tool = { name: 'look', input_schema: { type: 'object' as const } }
const inTheUs = { inference_geo: 'us' }
