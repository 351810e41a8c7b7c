import type { Metered } from '../cost.ts'
import type { Script } from '../script.ts'
import { CREDIT_TOKEN, type CreditStatus } from './fallback-credit.ts'
import { iterationsOf, type Turn, topLevelOf } from './turns.ts'

/** A message, before it is told whole or in events. */
export interface Message {
  readonly id: string
  readonly script: Script
  readonly splitsCacheWrites: boolean
  /** Told by a `message_delta` that stands before the last one. */
  readonly earlyUsage: Metered | undefined
  readonly tokensPerChunk: number
  readonly turns: readonly Turn[]
  readonly credit: CreditStatus | undefined
  /** Input as it would be without the credit: what a stream tells first. */
  readonly uncredited: Metered
  readonly declines: boolean
  /** What code would run in, where the request has a tool for that. */
  readonly container: { readonly id: string; readonly expires_at: string } | null
}

const STOP_REASON = { stop: 'end_turn', limit: 'max_tokens', tool: 'tool_use' } as const
const SIGNATURE = Buffer.from('simulated signature').toString('base64')

/** `input_tokens` excludes cache reads and writes; `output_tokens` includes thinking. */
export function messageUsage(message: Message, reported: Metered): object {
  const { script, splitsCacheWrites } = message
  const answering = toldOf(message, reported)
  const metered = topLevelOf(message.turns, answering)
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
    ...(script.speed === null ? {} : { speed: script.speed }),
    ...beyondTokens(message, answering),
  }
}

/** The running totals of a `message_delta`: the whole so far, never a difference. */
export function deltaUsage(message: Message, reported: Metered): object {
  const answering = toldOf(message, reported)
  const metered = topLevelOf(message.turns, answering)
  return {
    input_tokens: metered.input_fresh,
    cache_creation_input_tokens: metered.input_to_cache_5m + metered.input_to_cache_1h,
    cache_read_input_tokens: metered.input_from_cache,
    output_tokens: metered.output,
    output_tokens_details: { thinking_tokens: metered.output_thinking },
    server_tool_use: serverToolUse(metered),
    ...beyondTokens(message, answering),
  }
}

/** Who declines tells of the input that it does not charge. */
function toldOf({ declines, uncredited }: Message, reported: Metered): Metered {
  return declines ? uncredited : reported
}

function beyondTokens({ turns, script, credit }: Message, answering: Metered): object {
  const iterations = iterationsOf(turns, script, answering)
  return {
    ...(iterations === undefined ? {} : { iterations }),
    ...(credit === undefined ? {} : { fallback_credit: { status: credit } }),
  }
}

/** Why a message that declines stops, with what a retry on another model needs. */
export function stopOf({ script, declines }: Message): { stop_reason: string; stop_details: object | null } {
  if (!declines) return { stop_reason: STOP_REASON[script.finish], stop_details: null }
  return {
    stop_reason: 'refusal',
    stop_details: {
      type: 'refusal',
      category: null,
      explanation: 'The simulated model declines.',
      fallback_credit_token: CREDIT_TOKEN,
      fallback_has_prefill_claim: false,
    },
  }
}

function serverToolUse(metered: Metered): object | null {
  return metered.web_searches > 0 ? { web_search_requests: metered.web_searches, web_fetch_requests: 0 } : null
}

/** The message object; usage is added by who knows it. */
export function toMessage(
  { id, script, container }: Message,
  content: readonly object[],
  stop: { stop_reason: string | null; stop_details: object | null } = { stop_reason: null, stop_details: null },
): object {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model: script.servedModel,
    content,
    ...stop,
    stop_sequence: null,
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
export function toParts({ id, script, declines }: Message): Block[] {
  const parts: Block[] = []
  if (script.thinking !== '') parts.push({ type: 'thinking', thinking: script.thinking, signature: SIGNATURE })
  for (let index = 0; index < script.searches; index += 1) {
    const toolId = `srvtoolu_${id}_${index}`
    parts.push({ type: 'server_tool_use', id: toolId, name: 'web_search', input: { query: 'sea' } })
    parts.push({ type: 'web_search_tool_result', tool_use_id: toolId, content: [] })
  }
  const isSilent = script.text === '' && (script.tools.length > 0 || declines)
  if (!isSilent) parts.push({ type: 'text', text: script.text, citations: null })
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
