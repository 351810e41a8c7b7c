import type { Call } from '../call.ts'
import type { Metered } from '../cost.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asList, asObject, asText, isObject, type JsonObject } from '../json.ts'
import { perform } from '../perform.ts'
import { type Prompt, PromptTally } from '../prompt.ts'
import { ProviderError } from '../provider-error.ts'
import { firstToolName, type Script, writeScript } from '../script.ts'
import { cutText } from '../tokens.ts'

/** `POST /v1/responses` */
export async function responses(call: Call): Promise<void> {
  const { body } = call
  const served = readModel(call, 'text')
  if (body.input === undefined) throw new ProviderError(400, 'invalid_request_error', 'The request has no input.')
  const prompt = readResponsesPrompt(body)
  const directives = readOrders(call, prompt)
  const effort = asObject(body.reasoning).effort
  const script = writeScript(
    {
      ...served,
      tier: asText(body.service_tier),
      geo: null,
      choices: 1,
      limit: asCount(body.max_output_tokens),
      thinks: effort !== undefined && effort !== null && effort !== 'none',
      forcedTool: readForcedTool(body),
      searches: true,
    },
    prompt,
    directives,
  )
  const answer: Answer = {
    id: `resp_${call.id}`,
    createdAt: Math.floor(Date.now() / 1000),
    body,
    script,
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
  }
  const sequence = { next: 0 }
  await perform(call, directives, {
    responseId: answer.id,
    script,
    streamed: body.stream === true,
    answer: reported => toResponse(answer, endStatus(script), toItems(answer), reported),
    frames: reported => toEvents(answer, sequence, reported),
    trouble: {
      errorEvent: (kind, generated) => {
        const code = directives.text('error_code') ?? (kind === 'overloaded' ? 'server_is_overloaded' : 'server_error')
        const message = 'The simulated engine failed midway.'
        const usage = {
          ...script.metered,
          output: generated,
          output_thinking: Math.min(script.metered.output_thinking, generated),
        }
        const failed = toResponse(answer, 'failed', [], generated > 0 ? usage : undefined, { code, message })
        return event(sequence, 'response.failed', { response: failed })
      },
      unknownEvent: namedEvent('response.future_thing.delta', '{"type":"response.future_thing.delta","delta":{"x":1}}'),
    },
  })
}

interface Answer {
  readonly id: string
  readonly createdAt: number
  readonly body: JsonObject
  readonly script: Script
  readonly tokensPerChunk: number
}

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed'

function endStatus(script: Script): Status {
  return script.finish === 'limit' ? 'incomplete' : 'completed'
}

function readResponsesPrompt(body: JsonObject): Prompt {
  const tally = new PromptTally()
  tally.addJson(body.tools)
  tally.addText(asText(body.instructions))
  if (typeof body.input === 'string') tally.addMessage('user', body.input)
  for (const entry of asList(body.input)) {
    const item = asObject(entry)
    if (item.content !== undefined && asText(item.role) !== undefined) tally.addMessage(asText(item.role), item.content)
    else tally.addJson(item)
    if (asText(item.type)?.endsWith('_call_output')) tally.toolAnswered()
  }
  return tally.total()
}

function readForcedTool(body: JsonObject): string | undefined {
  const choice = body.tool_choice
  if (choice === 'required') return firstToolName(body.tools)
  return isObject(choice) ? asText(choice.name) : undefined
}

/** `input_tokens` includes what came from the cache; `output_tokens` includes reasoning. */
function responsesUsage(metered: Metered): object {
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

function toResponse(
  { id, createdAt, body, script }: Answer,
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
    background: false,
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
    user: null,
    metadata: body.metadata ?? {},
  }
}

type Item = { readonly id: string; readonly type: string; readonly [member: string]: unknown }

function toItems(answer: Answer): Item[] {
  const { id, script } = answer
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
  for (let index = 0; index < script.searches; index += 1) {
    items.push({
      id: `ws_${id}_${index}`,
      type: 'web_search_call',
      status: 'completed',
      action: { type: 'search', query: 'sea', queries: ['sea'] },
    })
  }
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

interface Sequence {
  next: number
}

function event(sequence: Sequence, type: string, members: object): string {
  const sequenceNumber = sequence.next
  sequence.next += 1
  return namedEvent(type, JSON.stringify({ type, sequence_number: sequenceNumber, ...members }))
}

function* toEvents(answer: Answer, sequence: Sequence, reported: Metered | undefined): Generator<Frame> {
  const { script } = answer
  const quiet = (type: string, members: object): Frame => ({ sse: event(sequence, type, members), tokens: 0 })
  const opened = toResponse(answer, 'in_progress', [], undefined)
  yield quiet('response.created', { response: opened })
  yield quiet('response.in_progress', { response: opened })
  const items = toItems(answer)
  for (const [index, item] of items.entries()) {
    const place = { item_id: item.id, output_index: index }
    if (item.type === 'reasoning') yield* reasoningEvents(answer, sequence, item, place)
    else if (item.type === 'message') yield* messageEvents(answer, sequence, item, place)
    else if (item.type === 'function_call') yield* functionCallEvents(answer, sequence, item, place)
    else {
      yield quiet('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress' } })
      yield quiet('response.web_search_call.in_progress', place)
      yield quiet('response.web_search_call.searching', place)
      yield { ...quiet('response.web_search_call.completed', place), searches: 1 }
    }
    yield quiet('response.output_item.done', { output_index: index, item })
  }
  const status = endStatus(script)
  yield { ...quiet(`response.${status}`, { response: toResponse(answer, status, items, reported) }), closing: true }
}

interface Place {
  readonly item_id: string
  readonly output_index: number
}

function* reasoningEvents(answer: Answer, sequence: Sequence, item: Item, place: Place): Generator<Frame> {
  const part = { ...place, summary_index: 0 }
  const text = answer.script.thinking
  yield {
    sse:
      event(sequence, 'response.output_item.added', {
        output_index: place.output_index,
        item: { ...item, summary: [] },
      }) +
      event(sequence, 'response.reasoning_summary_part.added', { ...part, part: { type: 'summary_text', text: '' } }),
    tokens: 0,
  }
  for (const piece of cutText(text, answer.tokensPerChunk)) {
    yield {
      sse: event(sequence, 'response.reasoning_summary_text.delta', { ...part, delta: piece.text }),
      tokens: piece.tokens,
      thinking: true,
    }
  }
  yield { sse: event(sequence, 'response.reasoning_summary_text.done', { ...part, text }), tokens: 0 }
  yield {
    sse: event(sequence, 'response.reasoning_summary_part.done', { ...part, part: { type: 'summary_text', text } }),
    tokens: 0,
  }
}

function* messageEvents(answer: Answer, sequence: Sequence, item: Item, place: Place): Generator<Frame> {
  const { text } = answer.script
  const part = { ...place, content_index: 0 }
  const content = (value: string) => ({ type: 'output_text', text: value, annotations: [], logprobs: [] })
  yield {
    sse: event(sequence, 'response.output_item.added', {
      output_index: place.output_index,
      item: { ...item, status: 'in_progress', content: [] },
    }),
    tokens: 0,
  }
  yield { sse: event(sequence, 'response.content_part.added', { ...part, part: content('') }), tokens: 0 }
  const obfuscated = asObject(answer.body.stream_options).include_obfuscation === true ? ',"obfuscation":"sim0"' : ''
  const middle = `,"item_id":"${place.item_id}","output_index":${place.output_index},"content_index":0,"delta":`
  for (const piece of cutText(text, answer.tokensPerChunk)) {
    const data = `{"type":"response.output_text.delta","sequence_number":${sequence.next}${middle}${JSON.stringify(piece.text)},"logprobs":[]${obfuscated}}`
    sequence.next += 1
    yield { sse: namedEvent('response.output_text.delta', data), tokens: piece.tokens }
  }
  yield { sse: event(sequence, 'response.output_text.done', { ...part, text, logprobs: [] }), tokens: 0 }
  yield { sse: event(sequence, 'response.content_part.done', { ...part, part: content(text) }), tokens: 0 }
}

function* functionCallEvents(answer: Answer, sequence: Sequence, item: Item, place: Place): Generator<Frame> {
  const all = String(item.arguments)
  yield {
    sse: event(sequence, 'response.output_item.added', {
      output_index: place.output_index,
      item: { ...item, status: 'in_progress', arguments: '' },
    }),
    tokens: 0,
  }
  for (const piece of cutText(all, answer.tokensPerChunk)) {
    yield {
      sse: event(sequence, 'response.function_call_arguments.delta', { ...place, delta: piece.text }),
      tokens: piece.tokens,
    }
  }
  yield {
    sse: event(sequence, 'response.function_call_arguments.done', { ...place, name: item.name, arguments: all }),
    tokens: 0,
  }
}
