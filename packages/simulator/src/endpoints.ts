import {
  cancelMessageBatch,
  createMessageBatch,
  deleteMessageBatch,
  listMessageBatches,
  readMessageBatch,
} from './anthropic/batches.ts'
import { complete } from './anthropic/completion.ts'
import { countMessageTokens } from './anthropic/count-tokens.ts'
import { messages } from './anthropic/messages.ts'
import { getAnthropicModel, listAnthropicModels } from './anthropic/models.ts'
import type { Call, Dialect } from './call.ts'
import { createImages, createImageVariation, editImages } from './media/images.ts'
import { speech } from './media/speech.ts'
import { transcriptions, translations } from './media/transcriptions.ts'
import { cancelBatch, createBatch, listBatches, readBatch } from './openai/batches.ts'
import { chatCompletions } from './openai/chat-completions.ts'
import { compactResponses } from './openai/compact.ts'
import { embeddings } from './openai/embeddings.ts'
import { deleteFile, listFiles, readFile, uploadFile } from './openai/files.ts'
import { countResponseTokens } from './openai/input-tokens.ts'
import { getOpenAiModel, listOpenAiModels } from './openai/models.ts'
import { moderate } from './openai/moderations.ts'
import { responses } from './openai/responses.ts'
import { cancelResponse, deleteResponse, readStoredResponse } from './openai/stored-responses.ts'
import { createClientSecret, createLegacySession } from './sockets/client-secrets.ts'
import { controlRealtimeCall, createRealtimeCall } from './sockets/realtime-calls.ts'

/** One thing the simulated provider can be asked for. */
export interface Endpoint {
  readonly dialect: Dialect
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** A path that ends in `/` stands for everything below it. */
  readonly path: string
  /** Gets a record on the bill, free or not. */
  readonly onBill: boolean
  /** A POST that says everything in its path. */
  readonly bodyless?: true
  /** Its body is a multipart form. */
  readonly form?: true
  readonly answer: (call: Call) => void | Promise<void>
}

/** Every endpoint of both dialects; another one is a row here and a file. */
export const ENDPOINTS: readonly Endpoint[] = [
  { dialect: 'openai', method: 'POST', path: '/v1/chat/completions', onBill: true, answer: chatCompletions },
  { dialect: 'openai', method: 'POST', path: '/v1/responses', onBill: true, answer: responses },
  { dialect: 'openai', method: 'POST', path: '/v1/responses/compact', onBill: true, answer: compactResponses },
  { dialect: 'openai', method: 'POST', path: '/v1/responses/input_tokens', onBill: true, answer: countResponseTokens },
  { dialect: 'openai', method: 'GET', path: '/v1/responses/', onBill: false, answer: readStoredResponse },
  { dialect: 'openai', method: 'POST', path: '/v1/responses/', onBill: false, bodyless: true, answer: cancelResponse },
  { dialect: 'openai', method: 'DELETE', path: '/v1/responses/', onBill: false, answer: deleteResponse },
  { dialect: 'openai', method: 'POST', path: '/v1/moderations', onBill: true, answer: moderate },
  { dialect: 'openai', method: 'POST', path: '/v1/files', onBill: false, form: true, answer: uploadFile },
  { dialect: 'openai', method: 'GET', path: '/v1/files', onBill: false, answer: listFiles },
  { dialect: 'openai', method: 'GET', path: '/v1/files/', onBill: false, answer: readFile },
  { dialect: 'openai', method: 'DELETE', path: '/v1/files/', onBill: false, answer: deleteFile },
  { dialect: 'openai', method: 'POST', path: '/v1/embeddings', onBill: true, answer: embeddings },
  { dialect: 'openai', method: 'POST', path: '/v1/audio/speech', onBill: true, answer: speech },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/audio/transcriptions',
    onBill: true,
    form: true,
    answer: transcriptions,
  },
  { dialect: 'openai', method: 'POST', path: '/v1/audio/translations', onBill: true, form: true, answer: translations },
  { dialect: 'openai', method: 'POST', path: '/v1/images/generations', onBill: true, answer: createImages },
  { dialect: 'openai', method: 'POST', path: '/v1/images/edits', onBill: true, form: true, answer: editImages },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/images/variations',
    onBill: true,
    form: true,
    answer: createImageVariation,
  },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/realtime/client_secrets',
    onBill: false,
    answer: createClientSecret,
  },
  { dialect: 'openai', method: 'POST', path: '/v1/realtime/sessions', onBill: false, answer: createLegacySession },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/realtime/transcription_sessions',
    onBill: false,
    answer: createLegacySession,
  },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/realtime/calls',
    onBill: false,
    form: true,
    answer: createRealtimeCall,
  },
  {
    dialect: 'openai',
    method: 'POST',
    path: '/v1/realtime/calls/',
    onBill: false,
    bodyless: true,
    answer: controlRealtimeCall,
  },
  // What a batch costs is on the bill when it has ended, a record for each of its requests.
  { dialect: 'openai', method: 'POST', path: '/v1/batches', onBill: false, answer: createBatch },
  { dialect: 'openai', method: 'GET', path: '/v1/batches', onBill: false, answer: listBatches },
  { dialect: 'openai', method: 'GET', path: '/v1/batches/', onBill: false, answer: readBatch },
  { dialect: 'openai', method: 'POST', path: '/v1/batches/', onBill: false, bodyless: true, answer: cancelBatch },
  { dialect: 'openai', method: 'GET', path: '/v1/models', onBill: false, answer: listOpenAiModels },
  { dialect: 'openai', method: 'GET', path: '/v1/models/', onBill: false, answer: getOpenAiModel },
  { dialect: 'anthropic', method: 'POST', path: '/v1/messages', onBill: true, answer: messages },
  { dialect: 'anthropic', method: 'POST', path: '/v1/messages/count_tokens', onBill: true, answer: countMessageTokens },
  { dialect: 'anthropic', method: 'POST', path: '/v1/messages/batches', onBill: false, answer: createMessageBatch },
  { dialect: 'anthropic', method: 'GET', path: '/v1/messages/batches', onBill: false, answer: listMessageBatches },
  { dialect: 'anthropic', method: 'GET', path: '/v1/messages/batches/', onBill: false, answer: readMessageBatch },
  {
    dialect: 'anthropic',
    method: 'POST',
    path: '/v1/messages/batches/',
    onBill: false,
    bodyless: true,
    answer: cancelMessageBatch,
  },
  { dialect: 'anthropic', method: 'DELETE', path: '/v1/messages/batches/', onBill: false, answer: deleteMessageBatch },
  { dialect: 'anthropic', method: 'POST', path: '/v1/complete', onBill: true, answer: complete },
  { dialect: 'anthropic', method: 'GET', path: '/v1/models', onBill: false, answer: listAnthropicModels },
  { dialect: 'anthropic', method: 'GET', path: '/v1/models/', onBill: false, answer: getAnthropicModel },
]

/** The endpoint behind a path, and the dialect of the call even where there is none. */
export function findEndpoint(
  method: string,
  path: string,
  asked: Dialect | undefined,
  speaksAnthropic: boolean,
): { readonly dialect: Dialect; readonly endpoint: Endpoint | undefined } {
  const matches = ENDPOINTS.filter(
    endpoint =>
      endpoint.method === method &&
      (asked === undefined || endpoint.dialect === asked) &&
      (endpoint.path.endsWith('/') ? path.startsWith(endpoint.path) : path === endpoint.path),
  )
  const preferred = asked ?? (speaksAnthropic ? 'anthropic' : 'openai')
  const endpoint = matches.find(match => match.dialect === preferred) ?? matches[0]
  return { dialect: endpoint?.dialect ?? preferred, endpoint }
}
