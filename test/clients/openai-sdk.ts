import OpenAI from 'openai'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'
import { silence } from './openai-media.ts'

const client = 'openai'

function open({ openaiBaseUrl, apiKey, headers }: Setup): OpenAI {
  return new OpenAI({ baseURL: openaiBaseUrl, apiKey, defaultHeaders: headers, maxRetries: 0 })
}

const chat = (orders: string) => ({
  model: 'gpt-5.4',
  messages: [{ role: 'user' as const, content: promptOf(orders) }],
})

/** Spoken to, and to be answered in sound. */
const spoken = (orders: string, format: 'wav' | 'pcm16') => ({
  model: 'gpt-audio',
  modalities: ['text' as const, 'audio' as const],
  audio: { voice: 'alloy', format },
  messages: [
    {
      role: 'user' as const,
      content: [
        { type: 'text' as const, text: promptOf(orders) },
        { type: 'input_audio' as const, input_audio: { data: silence(3).toString('base64'), format: 'wav' as const } },
      ],
    },
  ],
})

/** The official OpenAI SDK. */
export const openaiSdk: readonly ClientCalls[] = [
  {
    client,
    endpoint: 'chat.completions',
    orders: 'cached=8 reasoning=16',
    plain: (setup, orders, signal) => open(setup).chat.completions.create(chat(orders), { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).chat.completions.create({ ...chat(orders), stream: true }, { signal }),
  },
  {
    client,
    endpoint: 'chat.completions: three choices and the usage chunk asked for',
    orders: 'reasoning=4',
    plain: (setup, orders, signal) => open(setup).chat.completions.create({ ...chat(orders), n: 3 }, { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).chat.completions.create(
        { ...chat(orders), n: 3, stream: true, stream_options: { include_usage: true } },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'chat.completions: a tool in the flex tier',
    orders: 'tool=look tool_tokens=30',
    plain: (setup, orders, signal) =>
      open(setup).chat.completions.create({ ...chat(orders), tools: [tool], service_tier: 'flex' }, { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).chat.completions.create(
        { ...chat(orders), tools: [tool], service_tier: 'flex', stream: true },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'chat.completions: spoken',
    orders: 'cached=8 tokens_per_chunk=4',
    plain: (setup, orders, signal) => open(setup).chat.completions.create(spoken(orders, 'wav'), { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).chat.completions.create({ ...spoken(orders, 'pcm16'), stream: true }, { signal }),
  },
  ...(['priority', 'flex', undefined] as const).map(
    (tier): ClientCalls => ({
      client,
      // A long prompt is served in the flex tier, and not in the priority tier.
      endpoint: `chat.completions: a long prompt, ${tier ?? 'no'} tier`,
      orders: 'input_tokens=272000 cached=1001',
      ...(tier === 'priority' && { doubts: ['tier_not_asked'] }),
      plain: (setup, orders, signal) =>
        open(setup).chat.completions.create({ ...chat(orders), ...(tier && { service_tier: tier }) }, { signal }),
    }),
  ),
  {
    client,
    endpoint: 'responses: just not a long prompt',
    orders: 'input_tokens=271999 cached=1001',
    plain: (setup, orders, signal) =>
      open(setup).responses.create({ model: 'gpt-5.4', input: promptOf(orders) }, { signal }),
  },
  ...(['priority', 'flex'] as const).map(
    (tier): ClientCalls => ({
      client,
      endpoint: `responses: ${tier} tier`,
      orders: 'cached=9 reasoning=16 searches=1',
      plain: (setup, orders, signal) =>
        open(setup).responses.create(
          { model: 'gpt-5.4-mini', input: promptOf(orders), service_tier: tier },
          { signal },
        ),
      streamed: (setup, orders, signal) =>
        open(setup).responses.create(
          { model: 'gpt-5.4-mini', input: promptOf(orders), service_tier: tier, stream: true },
          { signal },
        ),
    }),
  ),
  {
    client,
    endpoint: 'responses',
    orders: 'cached=8 reasoning=16 searches=2',
    plain: (setup, orders, signal) =>
      open(setup).responses.create({ model: 'gpt-5.4-mini', input: promptOf(orders) }, { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).responses.create({ model: 'gpt-5.4-mini', input: promptOf(orders), stream: true }, { signal }),
  },
  {
    client,
    endpoint: 'responses.websocket',
    orders: 'cached=8 reasoning=16 searches=2',
    streamed: async (setup, orders, signal) =>
      turnOf(new ResponsesWS(open(setup), { headers: setup.headers }), promptOf(orders), signal),
  },
  {
    client,
    endpoint: 'responses.compact',
    plain: (setup, orders, signal) =>
      open(setup).responses.compact({ model: 'gpt-5.4', input: promptOf(orders) }, { signal }),
  },
  {
    client,
    endpoint: 'responses.input_tokens',
    plain: (setup, orders, signal) =>
      open(setup).responses.inputTokens.count({ model: 'gpt-5.4', input: promptOf(orders) }, { signal }),
  },
  {
    client,
    endpoint: 'moderations',
    stays: true,
    plain: (setup, orders, signal) => open(setup).moderations.create({ input: promptOf(orders) }, { signal }),
  },
  {
    client,
    endpoint: 'embeddings',
    plain: (setup, orders, signal) =>
      open(setup).embeddings.create({ model: 'text-embedding-3-large', input: ['one', promptOf(orders)] }, { signal }),
  },
]

/** One turn on a socket, message by message; the socket is closed behind it. */
async function* turnOf(socket: ResponsesWS, input: string, signal: AbortSignal): AsyncGenerator<unknown> {
  signal.addEventListener('abort', () => socket.close())
  socket.send({ type: 'response.create', model: 'gpt-5.4-mini', input })
  for await (const entry of socket.stream()) {
    if (entry.type !== 'message') continue
    yield entry.message
    if (entry.message.type === 'response.completed') break
  }
  socket.close()
}

const tool = { type: 'function' as const, function: { name: 'look', parameters: { type: 'object' } } }
