import {
  type ChatTap,
  estimateInputTokens,
  freeUsage,
  fromChatCompletion,
  fromCountTokens,
  fromEmbedding,
  fromMessage,
  fromResponse,
  type MessagesTap,
  openChatTap,
  openMessagesTap,
  openResponsesTap,
  type ResponsesTap,
  type StreamTap,
  type UsageResult,
} from '@sluice/usage'
import { endChat } from './endings/end-chat.ts'
import { endMessages } from './endings/end-messages.ts'
import { endResponses } from './endings/end-responses.ts'
import type { StreamEnding } from './endings/stream-ending.ts'
import type { Endpoint, ReplyShape } from './endpoints.ts'

/** A stream's tap together with the way to end that stream. */
export interface StreamReader {
  tap: StreamTap
  end: (ending: StreamEnding) => string
}

/**
 * Opens the reader of a streamed reply.
 * @param withholdUsage the client did not ask for the usage chunk that we had the provider send
 */
export function openStreamReader(endpoint: Endpoint, model: string, withholdUsage: boolean): StreamReader {
  switch (endpoint.shape) {
    case 'responses': {
      const tap: ResponsesTap = openResponsesTap({ model })
      return { tap, end: ending => endResponses(tap.state, ending) }
    }
    case 'messages': {
      const tap: MessagesTap = openMessagesTap({ model })
      return { tap, end: ending => endMessages(tap.state, ending) }
    }
    case 'chat':
    case 'embeddings':
    case 'token-count': {
      const tap: ChatTap = openChatTap({ model, withholdUsageChunk: withholdUsage })
      return { tap, end: ending => endChat(tap.state, ending) }
    }
  }
}

/** Above this a JSON body is not parsed whole: only its usage object is looked for at its end. */
const maxParsedBytes = 4 * 1024 * 1024

/** Reads a whole JSON reply. What cannot be read is estimated by nobody: it is an empty result with no usage. */
export function readJsonReply(shape: ReplyShape, body: Buffer): UsageResult {
  const parsed = body.length > maxParsedBytes ? parseTail(body) : parse(body)
  if (parsed === undefined) return freeUsage()
  switch (shape) {
    case 'chat':
      return fromChatCompletion(parsed)
    case 'responses':
      return fromResponse(parsed)
    case 'embeddings':
      return fromEmbedding(parsed)
    case 'messages':
      return fromMessage(parsed)
    case 'token-count':
      return fromCountTokens(parsed)
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** Large replies (embeddings) carry model and usage in their last bytes, as one object each. */
function parseTail(body: Buffer): unknown {
  const tail = body.toString('utf8', Math.max(0, body.length - 64 * 1024))
  const usageAt = tail.lastIndexOf('"usage"')
  if (usageAt < 0) return undefined
  const usage = /^"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/.exec(tail.slice(usageAt))?.[1]
  const model = /"model"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(tail)?.[1]
  if (!usage) return undefined
  return parse(Buffer.from(`{${model ? `"model":${model},` : ''}"usage":${usage}}`))
}

/** What a call is taken to have used where its provider told nothing: its input, marked as an estimate. */
export function estimateInput(bodyBytes: number): UsageResult {
  const tokens = estimateInputTokens(bodyBytes)
  return { quantities: { in_text: tokens }, provenance: { in_text: 'estimated' }, modifiers: {}, raw_usage: null }
}
