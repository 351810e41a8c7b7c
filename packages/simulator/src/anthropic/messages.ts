import type { Call } from '../call.ts'
import type { Metered } from '../cost.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asObject, asText, type JsonObject } from '../json.ts'
import { perform } from '../perform.ts'
import { ProviderError } from '../provider-error.ts'
import { firstToolName, type Script, writeScript } from '../script.ts'
import { cutText } from '../tokens.ts'
import { readMessagesPrompt } from './prompt.ts'

/** `POST /v1/messages` */
export async function messages(call: Call): Promise<void> {
  const { body } = call
  const served = readModel(call, 'text')
  const limit = asCount(body.max_tokens)
  if (limit === undefined || limit === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'max_tokens: Field required')
  }
  if (!Array.isArray(body.messages) || body.messages.length === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'messages: at least one message is required')
  }
  const prompt = readMessagesPrompt(body)
  const directives = readOrders(call, prompt)
  const thinking = asObject(body.thinking).type
  const script = writeScript(
    {
      ...served,
      tier: undefined,
      geo: asText(body.inference_geo) ?? null,
      choices: 1,
      limit,
      thinks: thinking === 'enabled' || thinking === 'adaptive',
      forcedTool: readForcedTool(body),
      searches: true,
    },
    prompt,
    directives,
  )
  const message: Message = {
    id: `msg_${call.id}`,
    script,
    splitsCacheWrites: !directives.has('no_split'),
    sendsExtraDelta: directives.has('extra_delta'),
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
  }
  await perform(call, directives, {
    responseId: message.id,
    script,
    streamed: body.stream === true,
    answer: reported => ({
      ...toMessage(message, toBlocks(message), STOP_REASON[script.finish]),
      ...(reported === undefined ? {} : { usage: messageUsage(message, reported) }),
    }),
    frames: reported => toEvents(message, reported),
    trouble: {
      errorEvent: kind =>
        namedEvent(
          'error',
          JSON.stringify({
            type: 'error',
            error: {
              type: directives.text('error_type') ?? (kind === 'overloaded' ? 'overloaded_error' : 'api_error'),
              message: kind === 'overloaded' ? 'Overloaded' : 'The simulated engine failed midway.',
            },
            request_id: call.id,
          }),
        ),
      unknownEvent: namedEvent('future_thing', '{"type":"future_thing","payload":{"x":1}}'),
    },
  })
}

interface Message {
  readonly id: string
  readonly script: Script
  readonly splitsCacheWrites: boolean
  readonly sendsExtraDelta: boolean
  readonly tokensPerChunk: number
}

const STOP_REASON = { stop: 'end_turn', limit: 'max_tokens', tool: 'tool_use' } as const
const SIGNATURE = Buffer.from('simulated signature').toString('base64')

function readForcedTool(body: JsonObject): string | undefined {
  const choice = asObject(body.tool_choice)
  if (choice.type === 'any') return firstToolName(body.tools)
  return choice.type === 'tool' ? asText(choice.name) : undefined
}

/** `input_tokens` excludes cache reads and writes; `output_tokens` includes thinking. */
function messageUsage({ script, splitsCacheWrites }: Message, metered: Metered): object {
  return {
    input_tokens: metered.input_fresh,
    cache_creation_input_tokens: metered.input_to_cache_5m + metered.input_to_cache_1h,
    cache_read_input_tokens: metered.input_from_cache,
    cache_creation: splitsCacheWrites
      ? {
          ephemeral_5m_input_tokens: metered.input_to_cache_5m,
          ephemeral_1h_input_tokens: metered.input_to_cache_1h,
        }
      : null,
    output_tokens: metered.output,
    output_tokens_details: { thinking_tokens: metered.output_thinking },
    server_tool_use: serverToolUse(metered),
    service_tier: script.tier,
    inference_geo: script.geo ?? 'not_available',
  }
}

/** The running totals of a `message_delta`: the whole so far, never a difference. */
function deltaUsage(metered: Metered): object {
  return {
    input_tokens: metered.input_fresh,
    cache_creation_input_tokens: metered.input_to_cache_5m + metered.input_to_cache_1h,
    cache_read_input_tokens: metered.input_from_cache,
    output_tokens: metered.output,
    output_tokens_details: { thinking_tokens: metered.output_thinking },
    server_tool_use: serverToolUse(metered),
  }
}

function serverToolUse(metered: Metered): object | null {
  return metered.web_searches > 0 ? { web_search_requests: metered.web_searches, web_fetch_requests: 0 } : null
}

function toMessage({ id, script }: Message, content: readonly object[], stopReason: string | null): object {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model: script.servedModel,
    content,
    stop_reason: stopReason,
    stop_sequence: null,
    stop_details: null,
    container: null,
  }
}

type Block =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'text'; readonly text: string; readonly citations: null }
  | {
      readonly type: 'tool_use'
      readonly id: string
      readonly name: string
      readonly input: unknown
      readonly raw: string
    }
  | { readonly type: 'server_tool_use'; readonly id: string; readonly name: 'web_search'; readonly input: object }
  | { readonly type: 'web_search_tool_result'; readonly tool_use_id: string; readonly content: readonly object[] }

function toParts({ id, script }: Message): Block[] {
  const parts: Block[] = []
  if (script.thinking !== '') parts.push({ type: 'thinking', thinking: script.thinking, signature: SIGNATURE })
  for (let index = 0; index < script.searches; index += 1) {
    const toolId = `srvtoolu_${id}_${index}`
    parts.push({ type: 'server_tool_use', id: toolId, name: 'web_search', input: { query: 'sea' } })
    parts.push({ type: 'web_search_tool_result', tool_use_id: toolId, content: [] })
  }
  if (script.text !== '' || script.tools.length === 0) parts.push({ type: 'text', text: script.text, citations: null })
  for (const [index, tool] of script.tools.entries()) {
    const input = readInput(tool.arguments)
    parts.push({ type: 'tool_use', id: `toolu_${id}_${index}`, name: tool.name, input, raw: tool.arguments })
  }
  return parts
}

function toBlocks(message: Message): object[] {
  return toParts(message).map(part => {
    if (part.type !== 'tool_use') return part
    const { raw: _, ...block } = part
    return block
  })
}

/** Arguments cut off by the limit are no JSON; a whole message shows them as empty. */
function readInput(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

function* toEvents(message: Message, reported: Metered | undefined): Generator<Frame> {
  const { script, tokensPerChunk } = message
  const quiet = (type: string, members: object): Frame => ({
    sse: namedEvent(type, JSON.stringify({ type, ...members })),
    tokens: 0,
  })
  const first = reported === undefined ? undefined : { ...reported, output: 1, output_thinking: 0, web_searches: 0 }
  yield quiet('message_start', {
    message: {
      ...toMessage(message, [], null),
      ...(first === undefined ? {} : { usage: messageUsage(message, first) }),
    },
  })
  for (const [index, part] of toParts(message).entries()) {
    const delta = (type: string, member: string, text: string, tokens: number): Frame => ({
      sse: `event: content_block_delta\ndata: {"type":"content_block_delta","index":${index},"delta":{"type":"${type}","${member}":${JSON.stringify(text)}}}\n\n`,
      tokens,
    })
    yield quiet('content_block_start', { index, content_block: openBlock(part) })
    if (index === 0) yield quiet('ping', {})
    if (part.type === 'thinking') {
      for (const piece of cutText(part.thinking, tokensPerChunk)) {
        yield { ...delta('thinking_delta', 'thinking', piece.text, piece.tokens), thinking: true }
      }
      yield delta('signature_delta', 'signature', part.signature, 0)
    } else if (part.type === 'text') {
      for (const piece of cutText(part.text, tokensPerChunk))
        yield delta('text_delta', 'text', piece.text, piece.tokens)
    } else if (part.type === 'tool_use') {
      for (const piece of cutText(part.raw, tokensPerChunk)) {
        yield delta('input_json_delta', 'partial_json', piece.text, piece.tokens)
      }
    } else if (part.type === 'server_tool_use') {
      yield { ...delta('input_json_delta', 'partial_json', JSON.stringify(part.input), 0), searches: 1 }
    }
    yield quiet('content_block_stop', { index })
  }
  if (message.sendsExtraDelta && reported !== undefined) {
    const half = { ...reported, output: Math.ceil(reported.output / 2) }
    const delta = { stop_reason: null, stop_sequence: null, stop_details: null, container: null }
    yield quiet('message_delta', { delta, usage: deltaUsage(half) })
  }
  yield {
    ...quiet('message_delta', {
      delta: { stop_reason: STOP_REASON[script.finish], stop_sequence: null, stop_details: null, container: null },
      ...(reported === undefined ? {} : { usage: deltaUsage(reported) }),
    }),
    closing: true,
  }
  yield { ...quiet('message_stop', {}), closing: true }
}

function openBlock(part: Block): object {
  if (part.type === 'thinking') return { type: 'thinking', thinking: '', signature: '' }
  if (part.type === 'text') return { type: 'text', text: '', citations: null }
  if (part.type === 'tool_use') return { type: 'tool_use', id: part.id, name: part.name, input: {} }
  if (part.type === 'server_tool_use') return { type: 'server_tool_use', id: part.id, name: part.name, input: {} }
  return part
}
