import { isObject, objectOf, textOf } from '../json-fields.ts'

/** Bytes of sound per millisecond: 16-bit samples at 24 kHz, or 8-bit telephone samples at 8 kHz. */
const pcmBytesPerMs = 48
const telephoneBytesPerMs = 8

/**
 * How many bytes a millisecond takes in an audio format of a realtime session: an object (`{type: "audio/pcm"}`) or the
 * older names (`pcm16`, `g711_ulaw`). Unknown formats count as PCM.
 */
export function bytesPerMs(format: unknown): number {
  const name = (isObject(format) ? textOf(format.type) : textOf(format)) ?? ''
  if (name === 'audio/pcmu' || name === 'audio/pcma' || name.startsWith('g711')) return telephoneBytesPerMs
  const rate = objectOf(format).rate
  return typeof rate === 'number' && Number.isInteger(rate) && rate >= 1_000 && rate <= 192_000
    ? Math.ceil((rate * 2) / 1_000)
    : pcmBytesPerMs
}

/** Bytes that a base64 text of this length stands for. */
export function base64Bytes(length: number): number {
  return Math.floor((length * 3) / 4)
}

/** Tokens that sound amounts to, rounded up: ten a second where it is heard, twenty where it is spoken. Estimates. */
export function heardTokens(ms: number): number {
  return Math.ceil(ms / 100)
}
export function spokenTokens(ms: number): number {
  return Math.ceil(ms / 50)
}
