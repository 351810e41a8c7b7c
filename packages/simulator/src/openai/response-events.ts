import type { Metered } from '../cost.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { asObject } from '../json.ts'
import { cutText } from '../tokens.ts'
import { type Answer, endStatus, type Item, toItems, toResponse } from './response-object.ts'

/** The number of the stream's next event. */
export interface Sequence {
  next: number
}

export function sequencedEvent(sequence: Sequence, type: string, members: object): string {
  const sequenceNumber = sequence.next
  sequence.next += 1
  return namedEvent(type, JSON.stringify({ type, sequence_number: sequenceNumber, ...members }))
}

/** The response as the events of its stream. */
export function* toEvents(answer: Answer, sequence: Sequence, reported: Metered | undefined): Generator<Frame> {
  const { script } = answer
  const quiet = (type: string, members: object): Frame => ({ sse: sequencedEvent(sequence, type, members), tokens: 0 })
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
      const { tools = {}, beside = 0 } = answer.hosted.items.find(made => made.item === item) ?? {}
      yield quiet('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress' } })
      yield quiet(`response.${item.type}.in_progress`, place)
      yield quiet(`response.${item.type}.${DOING[item.type] ?? 'searching'}`, place)
      yield { ...quiet(`response.${item.type}.completed`, place), tools, beside }
    }
    yield quiet('response.output_item.done', { output_index: index, item })
  }
  const status = endStatus(script)
  for (const usage of answer.earlyUsage === undefined ? [reported] : [answer.earlyUsage, reported]) {
    yield { ...quiet(`response.${status}`, { response: toResponse(answer, status, items, usage) }), closing: true }
  }
}

/** What a tool does meanwhile, where it does not search. */
const DOING: { readonly [type: string]: string } = {
  code_interpreter_call: 'interpreting',
  image_generation_call: 'generating',
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
      sequencedEvent(sequence, 'response.output_item.added', {
        output_index: place.output_index,
        item: { ...item, summary: [] },
      }) +
      sequencedEvent(sequence, 'response.reasoning_summary_part.added', {
        ...part,
        part: { type: 'summary_text', text: '' },
      }),
    tokens: 0,
  }
  for (const piece of cutText(text, answer.tokensPerChunk)) {
    yield {
      sse: sequencedEvent(sequence, 'response.reasoning_summary_text.delta', { ...part, delta: piece.text }),
      tokens: piece.tokens,
      thinking: true,
    }
  }
  yield { sse: sequencedEvent(sequence, 'response.reasoning_summary_text.done', { ...part, text }), tokens: 0 }
  yield {
    sse: sequencedEvent(sequence, 'response.reasoning_summary_part.done', {
      ...part,
      part: { type: 'summary_text', text },
    }),
    tokens: 0,
  }
}

function* messageEvents(answer: Answer, sequence: Sequence, item: Item, place: Place): Generator<Frame> {
  const { text } = answer.script
  const part = { ...place, content_index: 0 }
  const content = (value: string) => ({ type: 'output_text', text: value, annotations: [], logprobs: [] })
  yield {
    sse: sequencedEvent(sequence, 'response.output_item.added', {
      output_index: place.output_index,
      item: { ...item, status: 'in_progress', content: [] },
    }),
    tokens: 0,
  }
  yield { sse: sequencedEvent(sequence, 'response.content_part.added', { ...part, part: content('') }), tokens: 0 }
  const obfuscated = asObject(answer.body.stream_options).include_obfuscation === true ? ',"obfuscation":"sim0"' : ''
  const middle = `,"item_id":"${place.item_id}","output_index":${place.output_index},"content_index":0,"delta":`
  for (const piece of cutText(text, answer.tokensPerChunk)) {
    const data = `{"type":"response.output_text.delta","sequence_number":${sequence.next}${middle}${JSON.stringify(piece.text)},"logprobs":[]${obfuscated}}`
    sequence.next += 1
    yield { sse: namedEvent('response.output_text.delta', data), tokens: piece.tokens }
  }
  yield { sse: sequencedEvent(sequence, 'response.output_text.done', { ...part, text, logprobs: [] }), tokens: 0 }
  yield { sse: sequencedEvent(sequence, 'response.content_part.done', { ...part, part: content(text) }), tokens: 0 }
}

function* functionCallEvents(answer: Answer, sequence: Sequence, item: Item, place: Place): Generator<Frame> {
  const all = String(item.arguments)
  yield {
    sse: sequencedEvent(sequence, 'response.output_item.added', {
      output_index: place.output_index,
      item: { ...item, status: 'in_progress', arguments: '' },
    }),
    tokens: 0,
  }
  for (const piece of cutText(all, answer.tokensPerChunk)) {
    yield {
      sse: sequencedEvent(sequence, 'response.function_call_arguments.delta', { ...place, delta: piece.text }),
      tokens: piece.tokens,
    }
  }
  yield {
    sse: sequencedEvent(sequence, 'response.function_call_arguments.done', {
      ...place,
      name: item.name,
      arguments: all,
    }),
    tokens: 0,
  }
}
