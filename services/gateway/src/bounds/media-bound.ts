import type { Dialect, UsageModifiers } from '@sluice/contracts'
import { findHighestRates, type HighestRates } from '@sluice/pricing'
import type { PriceBooksOfCall } from '../allow-model.ts'
import type { MediaShape } from '../media-request.ts'
import type { ModelRequest } from '../read-request.ts'
import type { CallBound } from './call-bound.ts'
import { costUp, LinearBound } from './linear-bound.ts'
import { countTextBytes } from './text-bytes.ts'

/** What admission knows of a call for sound or images. */
export interface MediaCall {
  shape: MediaShape
  dialect: Dialect
  model: string
  prices: PriceBooksOfCall
  request: Pick<ModelRequest, 'asked' | 'atMost' | 'media' | 'body' | 'named'>
  assumeDearest: boolean
}

/** Quantities of a call, each at its most. */
type Most = Partial<Record<'in_text' | 'in_audio' | 'in_image' | 'out_text' | 'out_audio' | 'out_image', number>> &
  Partial<Record<'chars_in' | 'audio_ms_in' | 'images', number>>

const roundingNanoUsd = 16

/** Bounds a call for sound or images by what it asks for. It is held whole: these requests have no limit of output. */
export function boundMediaCall(call: MediaCall): CallBound {
  const { most, unboundedBy } = measure(call)
  const highest = ratesOf(call)
  let fixedTokens = 0
  let fixedNanoUsd = roundingNanoUsd
  const inputTokens = (most.in_text ?? 0) + (most.in_audio ?? 0) + (most.in_image ?? 0)
  for (const name of Object.keys(most) as (keyof Most)[]) {
    const quantity = most[name] ?? 0
    fixedNanoUsd += costUp(quantity, highest.of(name, inputTokens))
    if (/^(?:in|out)_/.test(name)) fixedTokens += quantity
  }
  return new LinearBound({
    outputTokens: 0,
    leastOutputTokens: 0,
    clamp: undefined,
    fixedTokens,
    fixedNanoUsd: Math.min(fixedNanoUsd, Number.MAX_SAFE_INTEGER),
    outputRate: 0,
    outputTimes: 0,
    requests: 1,
    tightness: 'loose',
    unboundedBy: call.request.named?.[0] ? `"${call.request.named[0].member}"` : unboundedBy,
  })
}

function measure(call: MediaCall): { most: Most; unboundedBy?: string } {
  switch (call.shape) {
    case 'speech':
      return speechAtMost(call)
    case 'transcript':
      return { most: transcriptAtMost(call) }
    case 'images':
      return { most: imagesAtMost(call) }
  }
}

/** Speech is told slowly or fast, with pauses or none: what is sold by the token of sound has no end that a request could set. */
function speechAtMost({ request }: MediaCall): { most: Most; unboundedBy?: string } {
  const characters = request.asked?.quantities.chars_in
  if (characters !== undefined) return { most: { chars_in: characters } }
  const tokens = textTokensOf(request)
  return { most: { in_text: tokens, out_audio: tokens * guessedSpeech }, unboundedBy: '"input", spoken by the token' }
}

/** Tokens of sound for each byte that is spoken: ten bytes a second are slow, and a second is twenty. */
const guessedSpeech = 2

/** A header may be off by a little, and seconds are rounded. */
function transcriptAtMost({ model, request }: MediaCall): Most {
  const { audio_ms_in: heardMs, in_audio: heardTokens = 0 } = request.atMost ?? request.asked?.quantities ?? {}
  if (heardMs !== undefined) return { audio_ms_in: withMargin(heardMs, 1_000) }
  const heard = withMargin(heardTokens, 10) + (model.includes('diarize') ? knownVoices : 0)
  return { in_audio: heard, in_text: textTokensOf(request), out_text: heard * spokenPerHeard + shortText }
}

/** Four voices that are known, ten seconds of each. */
const knownVoices = 400

function withMargin(value: number, more: number): number {
  return Math.ceil((value * 11) / 10) + more
}

/** A token of what is heard is a tenth of a second: nobody says more than thirty tokens of text in a second. */
const spokenPerHeard = 3
const shortText = 256

/** The largest picture in the best quality: 1024 by 1536, or of models that draw larger ones four times that. */
const imageTokens = 6_240
const largeImageTokens = 4 * imageTokens
const partialTokens = 100
/** A picture that is looked at closely (6,240), and in tiles; how many of these there are at most no page says. */
const seenTokens = 8_000
/** What a picture that is given is taken for where nobody tells. */
const estimatedSeenTokens = 323

function imagesAtMost({ model, request }: MediaCall): Most {
  const { images, in_image: seen = 0 } = request.asked?.quantities ?? {}
  if (images !== undefined) return { images }
  const { imagesByToken = 1, partialImages = 0 } = request.media ?? {}
  const each = /^(?:gpt-image-1|chatgpt-image)/.test(model) ? imageTokens : largeImageTokens
  return {
    in_text: textTokensOf(request),
    in_image: Math.ceil(seen / estimatedSeenTokens) * seenTokens,
    out_image: Math.max(1, imagesByToken) * each + partialImages * partialTokens,
  }
}

/** Of a form only the estimate of its text is known: so many bytes for each token, each of which may unfold. */
const bytesPerEstimatedToken = 4
const longestUnfolding = 11

function textTokensOf({ body, asked }: MediaCall['request']): number {
  if (Buffer.isBuffer(body)) return countTextBytes(body)
  return (asked?.quantities.in_text ?? 0) * bytesPerEstimatedToken * longestUnfolding
}

/** Of pictures that are sold by the piece the dearest that size and quality leave open. */
function ratesOf({ dialect, model, prices, request, assumeDearest }: MediaCall): HighestRates {
  const asked = request.asked?.modifiers ?? {}
  const modifiers: UsageModifiers[] = [{}, asked]
  for (const book of [prices.override, prices.book])
    for (const { when } of book?.find(dialect, model)?.entry.variants ?? [])
      if (mayBe(when.image_size, asked.image_size) && mayBe(when.image_quality, asked.image_quality))
        modifiers.push(when)
  return findHighestRates(prices, { provider: dialect, model, modifiers, assumeDearest })
}

function mayBe(priced: string | undefined, asked: string | undefined): boolean {
  return priced === undefined || asked === undefined || priced === asked
}
