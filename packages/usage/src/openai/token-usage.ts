import type { Quantities } from '@sluice/contracts'
import { countOf, objectOf } from '../json-fields.ts'

/** Tokens of both sides that a usage object tells, by which two of the same reply are compared. */
export function totalTold(usage: unknown): number {
  const fields = objectOf(usage)
  return (
    countOf(fields.prompt_tokens ?? fields.input_tokens) + countOf(fields.completion_tokens ?? fields.output_tokens)
  )
}

/**
 * Quantities of a usage object in either naming (`prompt_tokens` / `input_tokens`). OpenAI's input contains cached and
 * written tokens: they are taken out, so that every token meets one rate.
 */
export function tokenQuantities(usage: unknown): Quantities {
  const fields = objectOf(usage)
  const input = countOf(fields.prompt_tokens ?? fields.input_tokens)
  const total = countOf(fields.total_tokens)
  const givenOutput = fields.completion_tokens ?? fields.output_tokens
  const output = givenOutput === undefined || givenOutput === null ? Math.max(0, total - input) : countOf(givenOutput)
  const inDetails = objectOf(fields.prompt_tokens_details ?? fields.input_tokens_details ?? fields.input_token_details)
  const outDetails = objectOf(
    fields.completion_tokens_details ?? fields.output_tokens_details ?? fields.output_token_details,
  )
  const cachedDetails = objectOf(inDetails.cached_tokens_details)

  const cached = Math.min(input, countOf(inDetails.cached_tokens))
  const cachedAudio = Math.min(cached, countOf(cachedDetails.audio_tokens))
  const cachedImage = Math.min(cached - cachedAudio, countOf(cachedDetails.image_tokens))
  const written = Math.min(input - cached, countOf(inDetails.cache_write_tokens))
  // The split of the cached part is told only sometimes: what is told to be audio or image may be cached too.
  const audio = Math.min(input - cached - written, Math.max(0, countOf(inDetails.audio_tokens) - cachedAudio))
  const image = Math.min(input - cached - written - audio, Math.max(0, countOf(inDetails.image_tokens) - cachedImage))
  const outAudio = Math.min(output, countOf(outDetails.audio_tokens))
  const outImage = Math.min(output - outAudio, countOf(outDetails.image_tokens))
  const outText = output - outAudio - outImage
  return {
    in_text: input - cached - written - audio - image,
    in_audio: audio,
    in_image: image,
    in_cache_read: cached - cachedAudio - cachedImage,
    in_cache_read_audio: cachedAudio,
    in_cache_read_image: cachedImage,
    in_cache_write_other: written,
    out_text: outText,
    out_reasoning: Math.min(outText, countOf(outDetails.reasoning_tokens)),
    out_audio: outAudio,
    out_image: outImage,
    pred_accepted: countOf(outDetails.accepted_prediction_tokens),
    pred_rejected: countOf(outDetails.rejected_prediction_tokens),
  }
}
