import { totalOutputTokens } from '@sluice/contracts'
import type { MessagesState } from '@sluice/usage'
import { metadataOf } from '../refusal-answer.ts'
import { anthropicType } from '../refusal-names.ts'
import { type StreamEnding, sseEvent } from './stream-ending.ts'

/**
 * Ends a messages stream. Soft: closes the open blocks, then `message_delta` with `max_tokens` and the usage, then
 * `message_stop`. Explicit, and wherever a tool call is half out: `event: error`.
 */
export function endMessages(state: MessagesState, ending: StreamEnding): string {
  if (ending.style === 'explicit' || state.inToolCall || state.id === undefined) {
    const { refusal } = ending
    const type = anthropicType(refusal)
    return sseEvent(
      { type: 'error', error: { type, message: refusal.message, metadata: metadataOf(refusal, ending.callId) } },
      'error',
    )
  }
  let text = ''
  for (const block of state.openBlocks)
    text += sseEvent({ type: 'content_block_stop', index: block.index }, 'content_block_stop')
  const usage = { ...state.usage, output_tokens: totalOutputTokens(ending.usage.quantities) }
  text += sseEvent(
    { type: 'message_delta', delta: { stop_reason: 'max_tokens', stop_sequence: null }, usage },
    'message_delta',
  )
  return text + sseEvent({ type: 'message_stop' }, 'message_stop')
}
