import { totalInputTokens, totalOutputTokens } from '@sluice/contracts'
import type { ResponsesState } from '@sluice/usage'
import { metadataOf } from '../refusal-answer.ts'
import { openaiNames } from '../refusal-names.ts'
import { type StreamEnding, sseEvent } from './stream-ending.ts'

/**
 * Ends a Responses stream. Soft: the open items are closed as `incomplete` and `response.incomplete` carries everything
 * that was said. Explicit, where a tool call is half out, and where more text has passed than is kept: `response.failed`.
 */
export function endResponses(state: ResponsesState, ending: StreamEnding): string {
  let sequence = state.sequenceNumber
  const event = (type: string, fields: Record<string, unknown>): string =>
    sseEvent({ type, sequence_number: ++sequence, ...fields }, type)
  const response = state.response ?? { id: `resp_${ending.callId}`, object: 'response', output: [] }

  if (ending.style === 'explicit' || state.overflow || state.openItems.some(item => item.isToolCall)) {
    const { refusal } = ending
    const { code } = openaiNames(refusal)
    const error = { code, message: refusal.message, metadata: metadataOf(refusal, ending.callId) }
    return event('response.failed', { response: { ...response, status: 'failed', error } })
  }

  let text = ''
  const output = state.finishedItems.map(({ outputIndex, item }) => ({
    outputIndex,
    item: item as Record<string, unknown>,
  }))
  for (const open of state.openItems) {
    const content: unknown[] = []
    for (const { contentIndex, part, text: said, done } of open.parts) {
      if (done) {
        content.push(part)
        continue
      }
      const at = { item_id: open.item.id, output_index: open.outputIndex, content_index: contentIndex }
      const isRefusal = part.type === 'refusal'
      const whole = isRefusal ? { ...part, refusal: said } : { ...part, text: said }
      text += isRefusal
        ? event('response.refusal.done', { ...at, refusal: said })
        : event('response.output_text.done', { ...at, text: said, logprobs: [] })
      text += event('response.content_part.done', { ...at, part: whole })
      content.push(whole)
    }
    const item = {
      ...open.item,
      status: 'incomplete',
      ...(open.parts.length > 0 || open.item.type === 'message' ? { content } : {}),
    }
    text += event('response.output_item.done', { output_index: open.outputIndex, item })
    output.push({ outputIndex: open.outputIndex, item })
  }
  const { quantities } = ending.usage
  const input = totalInputTokens(quantities)
  const generated = totalOutputTokens(quantities)
  return (
    text +
    event('response.incomplete', {
      response: {
        ...response,
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        output: output.sort((a, b) => a.outputIndex - b.outputIndex).map(({ item }) => item),
        usage: {
          input_tokens: input,
          input_tokens_details: { cached_tokens: quantities.in_cache_read ?? 0 },
          output_tokens: generated,
          output_tokens_details: { reasoning_tokens: quantities.out_reasoning ?? 0 },
          total_tokens: input + generated,
        },
      },
    })
  )
}
