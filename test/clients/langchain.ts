import { ChatAnthropic } from '@langchain/anthropic'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'

const client = 'LangChain'

function openai({ openaiBaseUrl, apiKey, headers }: Setup, useResponsesApi: boolean): ChatOpenAI {
  const configuration = { baseURL: openaiBaseUrl, defaultHeaders: headers }
  return new ChatOpenAI({ model: 'gpt-5.4-mini', useResponsesApi, apiKey, maxRetries: 0, configuration })
}

function anthropic({ anthropicBaseUrl, apiKey, headers }: Setup): ChatAnthropic {
  return new ChatAnthropic({
    model: 'claude-haiku-4-5',
    maxTokens: 1_000,
    apiKey,
    maxRetries: 0,
    anthropicApiUrl: anthropicBaseUrl,
    clientOptions: { defaultHeaders: headers },
  })
}

/** LangChain for JavaScript. */
export const langchain: readonly ClientCalls[] = [
  {
    client,
    endpoint: 'chat.completions',
    orders: 'cached=8 reasoning=16',
    plain: (setup, orders, signal) => openai(setup, false).invoke(promptOf(orders), { signal }),
    streamed: (setup, orders, signal) => openai(setup, false).stream(promptOf(orders), { signal }),
  },
  {
    client,
    endpoint: 'responses',
    orders: 'cached=8 reasoning=16',
    plain: (setup, orders, signal) => openai(setup, true).invoke(promptOf(orders), { signal }),
    streamed: (setup, orders, signal) => openai(setup, true).stream(promptOf(orders), { signal }),
  },
  {
    client,
    endpoint: 'embeddings',
    plain({ openaiBaseUrl, apiKey, headers }, orders, signal) {
      // It takes no signal, but a `fetch` of one's own, which may have one.
      const leavable: typeof fetch = (url, init) =>
        fetch(url, { ...init, signal: AbortSignal.any([signal, ...(init?.signal ? [init.signal] : [])]) })
      const configuration = { baseURL: openaiBaseUrl, defaultHeaders: headers, fetch: leavable }
      const model = new OpenAIEmbeddings({ model: 'text-embedding-3-small', apiKey, maxRetries: 0, configuration })
      return model.embedDocuments(['one', promptOf(orders)])
    },
  },
  {
    client,
    endpoint: 'messages',
    orders: 'cached=8 cache_write=5',
    plain: (setup, orders, signal) => anthropic(setup).invoke(promptOf(orders), { signal }),
    streamed: (setup, orders, signal) => anthropic(setup).stream(promptOf(orders), { signal }),
  },
]
