import {
  type ChatTap,
  estimateTokens,
  freeUsage,
  fromChatCompletion,
  fromCountTokens,
  fromEmbedding,
  fromMessage,
  fromResponse,
  type MessagesTap,
  measuredAs,
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
export const maxParsedBytes = 4 * 1024 * 1024
/** How much of the end is looked at then. */
export const usageTailBytes = 64 * 1024

/**
 * Reads a JSON reply. What its provider does not tell is estimated: the input from the request, the output from what was
 * said.
 * @param body the reply, or its end where it is larger than `maxParsedBytes`
 */
export function readJsonReply(
  shape: ReplyShape,
  body: Buffer,
  sizes: { wholeBytes: number; inputTokens: number },
): UsageResult {
  const parsed = sizes.wholeBytes > maxParsedBytes ? parseTail(body) : parse(body)
  const usage = parsed === undefined ? freeUsage() : convert(shape, parsed)
  if (usage.raw_usage !== null || shape === 'token-count') return usage
  const input = estimateInput(sizes.inputTokens)
  // A reply that cannot be read is all output: its client has had it.
  const outputBytes = parsed === undefined ? sizes.wholeBytes : outputBytesOf(parsed)
  const output = measuredAs({ out_text: shape === 'embeddings' ? 0 : estimateTokens(outputBytes) }, 'estimated')
  return {
    ...usage,
    quantities: { ...usage.quantities, ...input.quantities, ...output.quantities },
    provenance: { ...usage.provenance, ...input.provenance, ...output.provenance },
  }
}

function convert(shape: ReplyShape, parsed: unknown): UsageResult {
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

/** Bytes of what a model has said in a reply of any dialect: text, thinking, arguments of tools. */
function outputBytesOf(reply: unknown): number {
  const { choices, output, content } = reply as Record<string, unknown>
  return textBytes([choices, output, content])
}

/** Members that name and mark things, and are not generated. */
const notSaid = new Set([
  'id',
  'type',
  'role',
  'status',
  'call_id',
  'object',
  'signature',
  'encrypted_content',
  'finish_reason',
])

function textBytes(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (typeof value !== 'object' || value === null) return 0
  let bytes = 0
  for (const [name, inner] of Object.entries(value)) if (!notSaid.has(name)) bytes += textBytes(inner)
  return bytes
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
  const tail = body.toString('utf8', Math.max(0, body.length - usageTailBytes))
  const usageAt = tail.lastIndexOf('"usage"')
  if (usageAt < 0) return undefined
  const usage = /^"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/.exec(tail.slice(usageAt))?.[1]
  const model = /"model"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(tail)?.[1]
  if (!usage) return undefined
  return parse(Buffer.from(`{${model ? `"model":${model},` : ''}"usage":${usage}}`))
}

/** What a call is taken to have used where its provider told nothing: its input, marked as an estimate. */
export function estimateInput(tokens: number): UsageResult {
  return { quantities: { in_text: tokens }, provenance: { in_text: 'estimated' }, modifiers: {}, raw_usage: null }
}
