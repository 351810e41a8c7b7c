import { metadataOf } from '../refusal-answer.ts'
import { openaiNames } from '../refusal-names.ts'
import { type StreamEnding, sseEvent } from './stream-ending.ts'

/**
 * Ends a stream of speech, of a transcript or of an image: always by an error event, which the SDK raises. These dialects have
 * no words for an end before the end, and sound or an image without its rest must not pass for the whole.
 */
export function endMedia({ refusal, callId }: StreamEnding): string {
  const error = {
    ...openaiNames(refusal),
    message: refusal.message,
    param: null,
    metadata: metadataOf(refusal, callId),
  }
  return sseEvent({ type: 'error', error }, 'error')
}
