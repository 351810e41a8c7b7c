import type { Metered } from '../cost.ts'
import type { Script } from '../script.ts'

/** A message, before it is told whole or in events. */
export interface Message {
  readonly id: string
  readonly script: Script
  readonly splitsCacheWrites: boolean
  /** Told by a `message_delta` that stands before the last one. */
  readonly earlyUsage: Metered | undefined
  readonly tokensPerChunk: number
  /** What code would run in, where the request has a tool for that. */
  readonly container: { readonly id: string; readonly expires_at: string } | null
}

export const STOP_REASON = { stop: 'end_turn', limit: 'max_tokens', tool: 'tool_use' } as const
const SIGNATURE = Buffer.from('simulated signature').toString('base64')

/** `input_tokens` excludes cache reads and writes; `output_tokens` includes thinking. */
export function messageUsage({ script, splitsCacheWrites }: Message, metered: Metered): object {
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
export function deltaUsage(metered: Metered): object {
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

/** The message object; usage is added by who knows it. */
export function toMessage(
  { id, script, container }: Message,
  content: readonly object[],
  stopReason: string | null,
): object {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model: script.servedModel,
    content,
    stop_reason: stopReason,
    stop_sequence: null,
    stop_details: null,
    container,
  }
}

/** A content block; `raw` is a tool's arguments as they are streamed. */
export type Block =
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

/** The content in order, as it is streamed. */
export function toParts({ id, script }: Message): Block[] {
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

/** The content as a whole message shows it. */
export function toBlocks(message: Message): object[] {
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
