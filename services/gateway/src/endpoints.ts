import type { Dialect } from '@sluice/contracts'

/** How a reply is read: which converter and which ending of `packages/usage` and `endings/` it takes. */
export type ReplyShape = 'chat' | 'responses' | 'embeddings' | 'messages' | 'token-count'

/** One path of the proxy. What has no row here is refused: there is no unmetered path. */
export interface Endpoint {
  /** Name in events, metrics and the price book's words. */
  name: string
  dialect: Dialect
  method: 'POST' | 'GET'
  /** Behind the mount point, query not included. */
  path: string
  /** `gen_ai.operation.name`. */
  operation: string
  /** Answered from the gateway's own views, or forwarded to the provider. */
  handledBy: 'provider' | 'models-list'
  shape: ReplyShape
  /** May be streamed by `"stream": true`. */
  streamable: boolean
  /** Free calls are metered with zero cost and no budget refuses them. */
  free: boolean
  /** Largest body in bytes that the provider takes. */
  maxBodyBytes: number
}

const MiB = 1024 * 1024

export const endpoints: readonly Endpoint[] = [
  {
    name: 'chat.completions',
    dialect: 'openai',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat',
    handledBy: 'provider',
    shape: 'chat',
    streamable: true,
    free: false,
    maxBodyBytes: 32 * MiB,
  },
  {
    name: 'responses',
    dialect: 'openai',
    method: 'POST',
    path: '/v1/responses',
    operation: 'chat',
    handledBy: 'provider',
    shape: 'responses',
    streamable: true,
    free: false,
    maxBodyBytes: 32 * MiB,
  },
  {
    name: 'embeddings',
    dialect: 'openai',
    method: 'POST',
    path: '/v1/embeddings',
    operation: 'embeddings',
    handledBy: 'provider',
    shape: 'embeddings',
    streamable: false,
    free: false,
    maxBodyBytes: 16 * MiB,
  },
  {
    name: 'messages',
    dialect: 'anthropic',
    method: 'POST',
    path: '/v1/messages',
    operation: 'chat',
    handledBy: 'provider',
    shape: 'messages',
    streamable: true,
    free: false,
    maxBodyBytes: 32 * MiB,
  },
  {
    name: 'messages.count_tokens',
    dialect: 'anthropic',
    method: 'POST',
    path: '/v1/messages/count_tokens',
    operation: 'count_tokens',
    handledBy: 'provider',
    shape: 'token-count',
    streamable: false,
    free: true,
    maxBodyBytes: 32 * MiB,
  },
  {
    name: 'models',
    dialect: 'openai',
    method: 'GET',
    path: '/v1/models',
    operation: 'list_models',
    handledBy: 'models-list',
    shape: 'token-count',
    streamable: false,
    free: true,
    maxBodyBytes: 0,
  },
  {
    name: 'models',
    dialect: 'anthropic',
    method: 'GET',
    path: '/v1/models',
    operation: 'list_models',
    handledBy: 'models-list',
    shape: 'token-count',
    streamable: false,
    free: true,
    maxBodyBytes: 0,
  },
]
