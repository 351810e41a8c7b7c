import { totalInputTokens, totalOutputTokens } from '@sluice/contracts'
import type { ChatState } from '@sluice/usage'
import { metadataOf } from '../refusal-answer.ts'
import { openaiNames } from '../refusal-names.ts'
import { type StreamEnding, sseEvent } from './stream-ending.ts'

/**
 * Ends a chat completion stream. Soft: every open choice finishes with `length`, as if its output limit had been reached.
 * Explicit, and wherever a tool call is half out: a top-level `error` in the place of choices, which clients raise.
 */
export function endChat(state: ChatState, ending: StreamEnding): string {
  const head = {
    id: state.id ?? `chatcmpl-${ending.callId}`,
    object: 'chat.completion.chunk',
    created: state.created ?? 0,
    model: state.model,
  }
  const open = state.choices.filter(choice => choice.finishReason === null)
  if (ending.style === 'explicit' || open.some(choice => choice.inToolCall)) {
    const { refusal } = ending
    const error = {
      message: refusal.message,
      ...openaiNames(refusal),
      param: null,
      metadata: metadataOf(refusal, ending.callId),
    }
    // Without `choices`: clients that find some take it for a chunk like any other, and the stream for whole.
    return `${sseEvent({ ...head, error })}data: [DONE]\n\n`
  }
  let text = ''
  for (const choice of open.length > 0 || state.choices.length > 0 ? open : [{ index: 0 }]) {
    text += sseEvent({
      ...head,
      choices: [{ index: choice.index, delta: {}, logprobs: null, finish_reason: 'length' }],
    })
  }
  if (ending.clientWantsUsage) {
    const { quantities } = ending.usage
    const input = totalInputTokens(quantities)
    const output = totalOutputTokens(quantities)
    text += sseEvent({
      ...head,
      choices: [],
      usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
    })
  }
  return `${text}data: [DONE]\n\n`
}
