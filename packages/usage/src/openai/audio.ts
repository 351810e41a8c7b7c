import { defined, isObject, nameOf, objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/**
 * Usage of a transcription or translation reply, or of `transcript.text.done`: tokens or seconds. Formats without usage
 * give `raw_usage: null`; the caller then measures the upload and marks it estimated.
 */
export function fromTranscription(body: unknown): UsageResult {
  const reply = objectOf(body)
  const usage = isObject(reply.usage) ? reply.usage : undefined
  const named = defined({ served_model: nameOf(reply.model) })
  if (usage && usage.type !== 'duration')
    return { ...measuredAs(tokenQuantities(usage), 'measured'), modifiers: {}, raw_usage: usage, ...named }
  const seconds = usage ? usage.seconds : reply.duration
  return {
    ...measuredAs({ audio_ms_in: milliseconds(seconds) }, 'measured'),
    modifiers: {},
    raw_usage: usage ?? null,
    ...named,
  }
}

/** Usage of speech by characters of its input (code points), as models without token usage are charged. */
export function fromSpeechInput(input: string): UsageResult {
  let characters = 0
  for (const _ of input) characters += 1
  return { ...measuredAs({ chars_in: characters }, 'measured'), modifiers: {}, raw_usage: null }
}

/** Usage of `speech.audio.done`: its output is audio. */
export function fromSpeechDone(event: unknown): UsageResult {
  const { usage } = objectOf(event)
  const { out_text = 0, ...quantities } = tokenQuantities(usage)
  return {
    ...measuredAs({ ...quantities, out_audio: (quantities.out_audio ?? 0) + out_text }, 'measured'),
    modifiers: {},
    raw_usage: usage ?? null,
  }
}

function milliseconds(seconds: unknown): number {
  if (typeof seconds === 'number' && seconds > 0 && seconds < 1e9) return Math.ceil(seconds * 1000)
  return typeof seconds === 'string' && /^\d{1,9}(\.\d+)?$/.test(seconds) ? milliseconds(Number(seconds)) : 0
}
