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

const everyToken = 'cached=8 cache_write=5 cache_write_1h=3 reasoning=16'
const fallback = 'server-side-fallback-2026-07-01'
const credit = 'fallback-credit-2026-07-01'
const declining = { model: 'claude-opus-5-5', fallbacks: [{ model: 'claude-opus-4-8' }] }

type BetaMessage = Partial<Anthropic.Beta.MessageCreateParamsNonStreaming>

/** A message that needs a beta header, plain and streamed. */
function beta(name: string, header: string, asked: BetaMessage, orders: string): ClientCalls[] {
  const body = (given: string) => ({ ...message(given), betas: [header], ...asked })
  return [
    {
      client,
      endpoint: `messages: ${name}`,
      orders,
      plain: (setup, given, signal) => open(setup).beta.messages.create(body(given), { signal }),
      streamed: (setup, given, signal) =>
        open(setup).beta.messages.create({ ...body(given), stream: true }, { signal }),
    },
  ]
}

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
  ...[200_000, 200_001].map(
    (tokens): ClientCalls => ({
      client,
      endpoint: `messages: a prompt of ${tokens} tokens`,
      orders: `input_tokens=${tokens} cached=150000 cache_write=1001 cache_write_1h=301`,
      plain: (setup, orders, signal) =>
        open(setup).messages.create({ ...message(orders), model: 'claude-sonnet-4-5' }, { signal }),
    }),
  ),
  ...beta('fast mode', 'fast-mode-2026-02-01', { model: 'claude-opus-4-8', speed: 'fast' }, everyToken),
  ...beta(
    'fast mode of a newer model',
    'fast-mode-2026-02-01',
    { model: 'claude-opus-5-5', speed: 'fast' },
    everyToken,
  ),
  ...beta(
    'a loop, a compaction and an advisor, each a turn of its own',
    'advisor-tool-2026-03-01',
    {},
    `${everyToken} turns=loop:31:7,compaction:5001:41,advisor/claude-opus-4-8:301:61`,
  ),
  ...beta(
    'turns that are long together and short by themselves, and one that is long',
    'compact-2026-01-12',
    { model: 'claude-sonnet-4-5' },
    'turns=loop:150001:7,compaction:150000:41,loop:200001:9',
  ),
  ...beta('one model declines midway, another answers', fallback, { ...declining }, `${everyToken} declined=30`),
  ...beta('one model declines at once, another answers', fallback, { ...declining }, `${everyToken} declined=0`),
  ...beta('it declines, without a word', fallback, {}, `refuse=1`).map(row => ({ ...row, stays: true })),
  ...beta(
    'a credit for a retry is redeemed',
    credit,
    { model: 'claude-opus-4-8', fallback_credit_token: 'fct_simulated' },
    everyToken,
  ),
  ...beta(
    'a credit for a retry comes too late',
    credit,
    { model: 'claude-opus-4-8', fallback_credit_token: { token: 'fct_of_yesterday', mode: 'best_effort' } },
    everyToken,
  ),
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
