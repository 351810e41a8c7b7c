import type { Metered } from '../cost.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { cutText } from '../tokens.ts'
import { type Block, deltaUsage, type Message, messageUsage, stopOf, toMessage, toParts } from './message-object.ts'

/** The message as the events of its stream. */
export function* toEvents(message: Message, reported: Metered | undefined): Generator<Frame> {
  const { script, tokensPerChunk } = message
  const quiet = (type: string, members: object): Frame => ({
    sse: namedEvent(type, JSON.stringify({ type, ...members })),
    tokens: 0,
  })
  const told = message.credit === undefined ? reported : message.uncredited
  const first =
    reported === undefined ? undefined : { ...(told ?? reported), output: 1, output_thinking: 0, web_searches: 0 }
  const beginning = { ...message, turns: [], credit: undefined }
  yield {
    ...quiet('message_start', {
      message: {
        ...toMessage(message, []),
        container: null,
        ...(first === undefined ? {} : { usage: messageUsage(beginning, first) }),
      },
    }),
    beside: script.beside.length,
  }
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
      yield { ...delta('input_json_delta', 'partial_json', JSON.stringify(part.input), 0), tools: { web_searches: 1 } }
    }
    yield quiet('content_block_stop', { index })
  }
  if (message.earlyUsage !== undefined && reported !== undefined) {
    const delta = { stop_reason: null, stop_sequence: null, stop_details: null, container: null }
    yield quiet('message_delta', { delta, usage: deltaUsage(message, message.earlyUsage) })
  }
  yield {
    ...quiet('message_delta', {
      delta: {
        ...stopOf(message),
        stop_sequence: null,
        container: message.container,
      },
      ...(reported === undefined ? {} : { usage: deltaUsage(message, reported) }),
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
