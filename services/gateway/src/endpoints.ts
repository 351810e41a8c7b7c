import type { Dialect, PathClass } from '@sluice/contracts'
import type { OwnHandler } from './own-handlers.ts'
import type { ReplyShapeName } from './reply-reader.ts'

export type Method = 'GET' | 'POST' | 'DELETE'

/** One path of the proxy. What has no row here is refused: there is no unmetered path. */
export interface Endpoint {
  /** Name in events, metrics and the price book's words. */
  name: string
  dialect: Dialect
  transport: 'http' | 'websocket'
  /** A path with several methods has a row for each. */
  method: Method
  /**
   * Behind the mount point, query not included. One segment may be a parameter in braces: `{model}` takes any text, every
   * other name an id of letters, digits and `_ . : -`, since it goes on to the provider as it came.
   */
  path: string
  /** `gen_ai.operation.name`. */
  operation: string
  /** Besides keys and tokens, a client secret is a credential here. */
  takesClientSecrets?: true
  /** Off unless the project has opened the class; absent: open to every project. */
  pathClass?: PathClass
  /** Forwarded to the provider, or handled by a function of our own. */
  handledBy: 'provider' | OwnHandler
  /** How the request body is read, before it goes on as it came. */
  body: 'json' | 'multipart' | 'none'
  /**
   * Where the model's name sits: a member of the JSON body, a field of the form, `?model=` of the query, each turn of a
   * socket; `none`: the call has no model, so that no list of models and no price decides on it.
   */
  model: 'json' | 'form' | 'query' | 'turns' | 'none'
  /** How the reply is read. */
  shape: ReplyShapeName
  /** May be streamed by `"stream": true`. */
  streamable: boolean
  /** Free calls are metered with zero cost and no budget refuses them. */
  free: boolean
  /** Largest body in bytes that the provider takes. */
  maxBodyBytes: number
}

const MiB = 1024 * 1024

/** What most rows have in common: a JSON body that names a model, answered by the provider. */
const posted = {
  transport: 'http',
  method: 'POST',
  operation: 'chat',
  handledBy: 'provider',
  body: 'json',
  model: 'json',
  streamable: true,
  free: false,
  maxBodyBytes: 32 * MiB,
} as const satisfies Partial<Endpoint>

/**
 * What carries images and files to OpenAI's models. OpenAI takes 50 MB of files in a request, 67 MB as Base64
 * (developers.openai.com/api/docs/guides/file-inputs, "File size limits"), and says 512 MB for one of images
 * (…/guides/images-vision, "Image input requirements"). Such a body lies in memory until its provider has it: 128 MiB hold all
 * files and twice the images that fit beside each other in a context, and four of them fill the default
 * `GATEWAY_MAX_BODY_MEMORY_MIB`.
 */
const postedToOpenAI = { ...posted, dialect: 'openai', maxBodyBytes: 128 * MiB } as const satisfies Partial<Endpoint>

/** How many tokens a request would be: free, and no budget refuses it. */
const counted = {
  ...posted,
  operation: 'count_tokens',
  shape: 'token-count',
  streamable: false,
  free: true,
} as const satisfies Partial<Endpoint>

/** A form with a file; 25 MB of sound or 50 MB of images, and room for the form around them. */
const uploaded = { ...posted, handledBy: 'upload', body: 'multipart', model: 'form', maxBodyBytes: 26 * MiB } as const

/** A look-up: no body, no model, no cost. */
const lookedUp = {
  transport: 'http',
  method: 'GET',
  handledBy: 'provider',
  body: 'none',
  model: 'none',
  shape: 'token-count',
  streamable: false,
  free: true,
  maxBodyBytes: 0,
} as const satisfies Partial<Endpoint>

const listed = { ...lookedUp, name: 'models', operation: 'list_models', handledBy: 'models-list' } as const

/** Calls about batches cost nothing: their results do, and are settled apart. */
const aboutBatches = { ...lookedUp, dialect: 'anthropic', operation: 'batch' } as const
const aboutFileBatches = { ...lookedUp, dialect: 'openai', operation: 'batch', pathClass: 'batches' } as const
/** What is kept of a response at its provider. */
const kept = {
  ...lookedUp,
  dialect: 'openai',
  operation: 'retrieve_response',
  pathClass: 'stored',
  handledBy: 'ask-for-response',
  shape: 'stored-response',
} as const satisfies Partial<Endpoint>

/** A socket: what its frames mean is its session's business. */
const socket = {
  transport: 'websocket',
  method: 'GET',
  operation: 'chat',
  handledBy: 'provider',
  body: 'none',
  shape: 'responses',
  streamable: true,
  free: false,
  maxBodyBytes: 0,
} as const satisfies Partial<Endpoint>

/** A secret for a browser; the answer carries one of ours. */
const clientSecret = {
  ...lookedUp,
  dialect: 'openai',
  method: 'POST',
  operation: 'realtime_client_secret',
  pathClass: 'realtime_calls',
  handledBy: 'client-secret',
  body: 'json',
  maxBodyBytes: 256 * 1024,
} as const satisfies Partial<Endpoint>

/** Files at the provider; 512 MB, and room for the form around one. Two classes open them: their handler asks. */
const file = {
  ...lookedUp,
  dialect: 'openai',
  operation: 'file',
  handledBy: 'file',
  shape: 'free',
} as const

const openai: readonly Endpoint[] = [
  { ...postedToOpenAI, name: 'chat.completions', path: '/v1/chat/completions', shape: 'chat' },
  {
    ...postedToOpenAI,
    name: 'responses',
    path: '/v1/responses',
    handledBy: 'create-response',
    shape: 'responses',
  },
  {
    ...posted,
    dialect: 'openai',
    name: 'moderations',
    path: '/v1/moderations',
    operation: 'moderation',
    pathClass: 'free',
    model: 'none',
    shape: 'free',
    streamable: false,
    free: true,
  },
  { ...file, name: 'files.upload', method: 'POST', path: '/v1/files', body: 'multipart', maxBodyBytes: 513 * MiB },
  { ...file, name: 'files.list', path: '/v1/files' },
  { ...file, name: 'files.retrieve', path: '/v1/files/{file_id}' },
  { ...file, name: 'files.delete', method: 'DELETE', path: '/v1/files/{file_id}' },
  { ...file, name: 'files.content', path: '/v1/files/{file_id}/content' },
  { ...kept, name: 'responses.retrieve', path: '/v1/responses/{response_id}' },
  { ...kept, name: 'responses.delete', method: 'DELETE', path: '/v1/responses/{response_id}' },
  {
    ...kept,
    name: 'responses.cancel',
    method: 'POST',
    path: '/v1/responses/{response_id}/cancel',
    maxBodyBytes: 64 * 1024,
  },
  { ...kept, name: 'responses.input_items', path: '/v1/responses/{response_id}/input_items' },
  {
    ...postedToOpenAI,
    name: 'responses.compact',
    path: '/v1/responses/compact',
    shape: 'compaction',
    streamable: false,
  },
  {
    ...counted,
    dialect: 'openai',
    name: 'responses.input_tokens',
    path: '/v1/responses/input_tokens',
    maxBodyBytes: postedToOpenAI.maxBodyBytes,
  },
  {
    ...posted,
    dialect: 'openai',
    name: 'embeddings',
    path: '/v1/embeddings',
    operation: 'embeddings',
    shape: 'embeddings',
    streamable: false,
    maxBodyBytes: 16 * MiB,
  },
  {
    ...posted,
    dialect: 'openai',
    name: 'audio.speech',
    path: '/v1/audio/speech',
    operation: 'speech',
    handledBy: 'media',
    shape: 'speech',
    maxBodyBytes: MiB,
  },
  {
    ...uploaded,
    dialect: 'openai',
    name: 'audio.transcriptions',
    path: '/v1/audio/transcriptions',
    operation: 'transcription',
    shape: 'transcript',
  },
  {
    ...uploaded,
    dialect: 'openai',
    name: 'audio.translations',
    path: '/v1/audio/translations',
    operation: 'translation',
    shape: 'transcript',
    streamable: false,
  },
  {
    ...posted,
    dialect: 'openai',
    name: 'images.generations',
    path: '/v1/images/generations',
    operation: 'image_generation',
    handledBy: 'media',
    shape: 'images',
    maxBodyBytes: MiB,
  },
  {
    ...uploaded,
    dialect: 'openai',
    name: 'images.edits',
    path: '/v1/images/edits',
    operation: 'image_edit',
    shape: 'images',
    maxBodyBytes: 51 * MiB,
  },
  {
    ...uploaded,
    dialect: 'openai',
    name: 'images.variations',
    path: '/v1/images/variations',
    operation: 'image_variation',
    shape: 'images',
    streamable: false,
    maxBodyBytes: 51 * MiB,
  },
  { ...socket, dialect: 'openai', name: 'responses.websocket', path: '/v1/responses', model: 'turns' },
  { ...socket, dialect: 'openai', name: 'realtime', path: '/v1/realtime', model: 'query', takesClientSecrets: true },
  { ...clientSecret, name: 'realtime.client_secrets', path: '/v1/realtime/client_secrets' },
  { ...clientSecret, name: 'realtime.sessions', path: '/v1/realtime/sessions' },
  { ...clientSecret, name: 'realtime.transcription_sessions', path: '/v1/realtime/transcription_sessions' },
  {
    ...lookedUp,
    dialect: 'openai',
    name: 'realtime.calls',
    method: 'POST',
    path: '/v1/realtime/calls',
    operation: 'realtime_call',
    pathClass: 'realtime_calls',
    handledBy: 'realtime-call',
    takesClientSecrets: true,
    maxBodyBytes: MiB,
  },
  {
    ...lookedUp,
    dialect: 'openai',
    name: 'realtime.calls.hangup',
    method: 'POST',
    path: '/v1/realtime/calls/{call}/hangup',
    operation: 'realtime_call',
    pathClass: 'realtime_calls',
    handledBy: 'realtime-hangup',
  },
  {
    ...aboutFileBatches,
    name: 'batches.create',
    method: 'POST',
    path: '/v1/batches',
    handledBy: 'file-batch-create',
    body: 'json',
    maxBodyBytes: MiB,
  },
  { ...aboutFileBatches, name: 'batches.list', path: '/v1/batches', handledBy: 'batch-list' },
  { ...aboutFileBatches, name: 'batches.get', path: '/v1/batches/{batch}', handledBy: 'batch-read' },
  {
    ...aboutFileBatches,
    name: 'batches.cancel',
    method: 'POST',
    path: '/v1/batches/{batch}/cancel',
    handledBy: 'batch-read',
  },
  { ...listed, dialect: 'openai', path: '/v1/models' },
  { ...listed, dialect: 'openai', path: '/v1/models/{model}' },
]

const anthropic: readonly Endpoint[] = [
  { ...posted, dialect: 'anthropic', name: 'messages', path: '/v1/messages', shape: 'messages' },
  { ...counted, dialect: 'anthropic', name: 'messages.count_tokens', path: '/v1/messages/count_tokens' },
  {
    ...posted,
    dialect: 'anthropic',
    name: 'complete',
    path: '/v1/complete',
    operation: 'text_completion',
    shape: 'completion',
  },
  {
    ...aboutBatches,
    name: 'messages.batches.create',
    method: 'POST',
    path: '/v1/messages/batches',
    handledBy: 'message-batch-create',
    body: 'json',
    maxBodyBytes: 256 * MiB,
  },
  { ...aboutBatches, name: 'messages.batches.list', path: '/v1/messages/batches', handledBy: 'batch-list' },
  { ...aboutBatches, name: 'messages.batches.get', path: '/v1/messages/batches/{batch}', handledBy: 'batch-read' },
  {
    ...aboutBatches,
    name: 'messages.batches.cancel',
    method: 'POST',
    path: '/v1/messages/batches/{batch}/cancel',
    handledBy: 'batch-read',
  },
  {
    ...aboutBatches,
    name: 'messages.batches.delete',
    method: 'DELETE',
    path: '/v1/messages/batches/{batch}',
    handledBy: 'batch-delete',
  },
  {
    ...aboutBatches,
    name: 'messages.batches.results',
    path: '/v1/messages/batches/{batch}/results',
    handledBy: 'batch-results',
  },
  { ...listed, dialect: 'anthropic', path: '/v1/models' },
  { ...listed, dialect: 'anthropic', path: '/v1/models/{model}' },
]

/** Every path of the proxy. */
export const endpoints: readonly Endpoint[] = [...openai, ...anthropic]
