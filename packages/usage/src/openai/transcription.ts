import type { Quantities } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { defined, isObject, nameOf, objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** Ten tokens are a second of what is heard. */
const tokensPerSecond = 10

/** What a transcription or translation is charged for on its input side, as far as the uploaded sound tells. */
export function transcriptionInput(request: {
  durationMs: number
  promptBytes: number
  /** Of the price: what is heard is sold by the minute or by the token. */
  perMinute: boolean
}): Quantities {
  if (request.perMinute) return { audio_ms_in: wholeSeconds(request.durationMs / 1000) }
  return {
    in_audio: Math.ceil((request.durationMs * tokensPerSecond) / 1000),
    in_text: estimateTokens(request.promptBytes),
  }
}

/**
 * Usage of a transcription or translation reply, or of `transcript.text.done`: tokens or seconds. Formats without usage
 * give `raw_usage: null` and no quantities.
 */
export function fromTranscription(body: unknown): UsageResult {
  const reply = objectOf(body)
  const usage = isObject(reply.usage) ? reply.usage : undefined
  const named = defined({ served_model: nameOf(reply.model) })
  if (usage && usage.type !== 'duration')
    return { ...measuredAs(tokenQuantities(usage), 'measured'), modifiers: {}, raw_usage: usage, ...named }
  // What the usage object says is what is charged; a length beside the text is charged to the nearest second.
  const heard = usage ? milliseconds(usage.seconds) : wholeSeconds(secondsOf(reply.duration))
  return {
    ...measuredAs({ audio_ms_in: heard }, 'measured'),
    modifiers: {},
    raw_usage: usage ?? null,
    ...named,
  }
}

/**
 * Usage of a reply that tells none: its input from the request, its text by its bytes where text is sold.
 * @param input of {@link transcriptionInput}
 */
export function fromTranscriptBytes(input: Quantities, textBytes: number): UsageResult {
  const perMinute = input.audio_ms_in !== undefined
  const quantities = perMinute ? input : { ...input, out_text: estimateTokens(textBytes) }
  return { ...measuredAs(quantities, 'estimated'), modifiers: {}, raw_usage: null }
}

function secondsOf(value: unknown): number {
  const seconds = typeof value === 'string' && /^\d{1,9}(\.\d+)?$/.test(value) ? Number(value) : value
  return typeof seconds === 'number' && seconds > 0 && seconds < 1e9 ? seconds : 0
}

function milliseconds(value: unknown): number {
  return Math.ceil(secondsOf(value) * 1000)
}

/** Sold by the minute is sold by the second: to the nearest one, and never for nothing. */
function wholeSeconds(seconds: number): number {
  return seconds > 0 ? Math.max(1, Math.round(seconds)) * 1000 : 0
}
