import type { CompletionState } from '@sluice/usage'
import { endMessages } from './end-messages.ts'
import { type StreamEnding, sseEvent } from './stream-ending.ts'

/** Ends a legacy completion stream. Soft: a last `completion` with `max_tokens`. Explicit: the dialect's `event: error`. */
export function endCompletion(state: CompletionState, ending: StreamEnding): string {
  // One error event for both of the dialect's streams.
  if (ending.style === 'explicit') return endMessages(nothingOpen(state), ending)
  const { id, model } = state
  return sseEvent(
    {
      type: 'completion',
      id: id ?? `compl_${ending.callId}`,
      completion: '',
      stop_reason: 'max_tokens',
      model,
      stop: null,
      log_id: id ?? ending.callId,
    },
    'completion',
  )
}

function nothingOpen({ id, model }: CompletionState): Parameters<typeof endMessages>[0] {
  return { id, model, openBlocks: [], inToolCall: false, stopReason: undefined, usage: undefined }
}
