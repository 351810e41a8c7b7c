import type { Quantities } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { objectOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { tokenQuantities } from './token-usage.ts'

/** What a request for speech is charged for on its input side, as far as the request alone tells. */
export function speechInput(request: {
  input: string
  instructionBytes: number
  /** Of the price: speech is sold by the character or by the token. */
  perCharacter: boolean
}): Quantities {
  if (request.perCharacter) return { chars_in: countCharacters(request.input) }
  return { in_text: estimateTokens(Buffer.byteLength(request.input) + request.instructionBytes) }
}

/** Code points, as models are charged that are sold by the character. */
function countCharacters(text: string): number {
  let characters = 0
  for (const _ of text) characters += 1
  return characters
}

/**
 * Usage of a reply that is sound and nothing else: the characters of its input, counted exactly; or its tokens, by what they
 * sound like. @param input of {@link speechInput}
 */
export function fromSpeechBytes(
  input: Quantities,
  reply: { audioBytes: number; bytesPerSecond: number; isWhole: boolean },
): UsageResult {
  const perCharacter = input.chars_in !== undefined
  const quantities = perCharacter
    ? input
    : { ...input, out_audio: audioTokensOf(reply.audioBytes, reply.bytesPerSecond) }
  const provenance = perCharacter && reply.isWhole ? 'measured' : 'estimated'
  return { ...measuredAs(quantities, provenance), modifiers: {}, raw_usage: null }
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

/** Twenty tokens are a second of speech. */
const tokensPerSecond = 20

/** Output tokens that this much sound amounts to. An estimate: mark it so. */
function audioTokensOf(audioBytes: number, bytesPerSecond: number): number {
  return Math.ceil((audioBytes * tokensPerSecond) / bytesPerSecond)
}
