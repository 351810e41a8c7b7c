import { defined, nameOf, objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'
import { fromTranscription } from './transcription.ts'

/**
 * Usage of a realtime response, as `response.done` carries it whatever its status: text, audio and images, each fresh or
 * cached. The object names no model: the session does.
 */
export function fromRealtimeResponse(body: unknown): UsageResult {
  const response = objectOf(body)
  return {
    ...measuredAs(tokenQuantities(response.usage), 'measured'),
    modifiers: {},
    raw_usage: response.usage ?? null,
    ...defined({
      response_id: nameOf(response.id),
      finish_reason: nameOf(objectOf(response.status_details).reason) ?? nameOf(response.status),
    }),
  }
}

/**
 * Usage of `conversation.item.input_audio_transcription.completed`: tokens or seconds, at the price of the model that
 * transcribes, which is not the session's. A `.failed` has none and costs nothing.
 */
export function fromInputTranscription(event: unknown): UsageResult {
  const { item_id } = objectOf(event)
  const { served_model: _, ...usage } = fromTranscription(event)
  return { ...usage, ...defined({ response_id: nameOf(item_id) }) }
}
