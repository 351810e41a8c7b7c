import type { Quantities } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { isObject, type JsonObject, textOf } from '../json-fields.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { fromRealtimeResponse } from './realtime.ts'
import { base64Bytes, spokenTokens } from './realtime-audio.ts'

/**
 * Watches one realtime response by its events. Until `response.done` tells its usage, its output is counted from what was
 * said: bytes of text, transcripts and tool arguments, and milliseconds of sound.
 */
export class RealtimeTap {
  readonly #outputBytesPerMs: number
  #done: JsonObject | undefined
  #id: string | undefined
  #textBytes = 0
  #audioBytes = 0

  constructor(options: { outputBytesPerMs: number }) {
    this.#outputBytesPerMs = options.outputBytesPerMs
  }

  get responseId(): string | undefined {
    return this.#id
  }
  get ended(): boolean {
    return this.#done !== undefined
  }
  /** It came to its own end. */
  get completed(): boolean {
    return this.#done?.status === 'completed'
  }
  get failed(): boolean {
    return this.#done?.status === 'failed'
  }
  get measured(): boolean {
    return isObject(this.#done?.usage)
  }
  /** Bytes of text, transcripts and tool arguments so far. */
  get textBytes(): number {
    return this.#textBytes
  }

  /** Takes an event of this response. */
  observe(event: JsonObject): void {
    const type = textOf(event.type) ?? ''
    if (isObject(event.response)) {
      this.#id ??= textOf(event.response.id)
      if (type === 'response.done') this.#done ??= event.response
      return
    }
    const { delta } = event
    if (typeof delta !== 'string' || !type.endsWith('.delta')) return
    if (type === 'response.output_audio.delta' || type === 'response.audio.delta')
      this.#audioBytes += base64Bytes(delta.length)
    else this.#textBytes += Buffer.byteLength(delta)
  }

  /** @param input what the turn's input was taken to amount to, where the provider has not said it */
  usage(input: Quantities): UsageResult {
    const result = fromRealtimeResponse(this.#done ?? { id: this.#id })
    if (this.measured) return result
    const audioMs = Math.ceil(this.#audioBytes / this.#outputBytesPerMs)
    return {
      ...result,
      ...measuredAs(
        { ...input, out_text: estimateTokens(this.#textBytes), out_audio: spokenTokens(audioMs) },
        'estimated',
      ),
    }
  }
}
