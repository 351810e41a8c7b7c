import type { Metered } from '../cost.ts'
import { asList, asObject, type JsonObject } from '../json.ts'
import type { Script } from '../script.ts'
import type { HostedWork } from './hosted-tools.ts'

/** A response of the Responses API, before it is told whole or in events. */
export interface Answer {
  readonly id: string
  readonly createdAt: number
  readonly body: JsonObject
  readonly script: Script
  readonly hosted: HostedWork
  readonly tokensPerChunk: number
  /** Told by a terminal event that stands before the last one. */
  readonly earlyUsage: Metered | undefined
}

type Status = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

export function endStatus(script: Script): Status {
  return script.finish === 'limit' ? 'incomplete' : 'completed'
}

/** `input_tokens` includes what came from the cache; `output_tokens` includes reasoning. */
export function responsesUsage(metered: Metered): object {
  const written = metered.input_to_cache_5m + metered.input_to_cache_1h
  const input = metered.input_fresh + metered.input_from_cache + written
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: metered.input_from_cache,
      ...(written > 0 ? { cache_write_tokens: written } : {}),
    },
    output_tokens: metered.output,
    output_tokens_details: { reasoning_tokens: metered.output_thinking },
    total_tokens: input + metered.output,
  }
}

/** The response object in a state of its life. */
export function toResponse(
  { id, createdAt, body, script, hosted }: Answer,
  status: Status,
  output: readonly object[],
  usage: Metered | undefined,
  error: object | null = null,
): object {
  return {
    id,
    object: 'response',
    created_at: createdAt,
    status,
    background: body.background === true,
    completed_at: status === 'completed' ? createdAt : null,
    error,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model: script.servedModel,
    output,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: asObject(body.reasoning).effort ?? null, summary: null },
    safety_identifier: null,
    service_tier: status === 'in_progress' ? (body.service_tier ?? 'auto') : script.tier,
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: body.text ?? { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    usage: usage === undefined ? null : responsesUsage(usage),
    ...(usage === undefined || hosted.toolUsage === undefined ? {} : { tool_usage: hosted.toolUsage }),
    user: null,
    metadata: body.metadata ?? {},
  }
}

export type Item = { readonly id: string; readonly type: string; readonly [member: string]: unknown }

/** The output items, finished. */
export function toItems(answer: Answer): Item[] {
  const { id, script, hosted } = answer
  const items: Item[] = []
  if (script.thinking !== '') {
    items.push({
      id: `rs_${id}`,
      type: 'reasoning',
      summary: [{ type: 'summary_text', text: script.thinking }],
      // What a client sends back next turn to keep the model's thoughts.
      ...(asList(answer.body.include).includes('reasoning.encrypted_content')
        ? { encrypted_content: Buffer.from('simulated').toString('base64') }
        : {}),
    })
  }
  for (const { item } of hosted.items) items.push(item)
  if (script.text !== '' || script.tools.length === 0) {
    items.push({
      id: `msg_${id}`,
      type: 'message',
      status: script.finish === 'limit' && script.tools.length === 0 ? 'incomplete' : 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text: script.text, annotations: [], logprobs: [] }],
    })
  }
  for (const [index, tool] of script.tools.entries()) {
    items.push({
      id: `fc_${id}_${index}`,
      type: 'function_call',
      status: script.finish === 'limit' && index === script.tools.length - 1 ? 'incomplete' : 'completed',
      call_id: `call_${id}_${index}`,
      name: tool.name,
      arguments: tool.arguments,
    })
  }
  return items
}
