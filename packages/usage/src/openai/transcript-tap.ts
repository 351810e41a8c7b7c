import type { Quantities } from '@sluice/contracts'
import type { JsonObject } from '../json-fields.ts'
import type { StreamTap } from '../stream-tap.ts'
import { freeUsage, type UsageResult } from '../usage-result.ts'
import { fromTranscriptBytes, fromTranscription } from './transcription.ts'
import { TypedEventTap } from './typed-event-tap.ts'

/** Watches the stream of a transcription. @param options.input as `transcriptionInput` gives it */
export function openTranscriptTap(options: { input: Quantities }): StreamTap {
  return new TranscriptTap(options.input)
}

class TranscriptTap extends TypedEventTap {
  readonly #input: Quantities
  #started = false
  #done: JsonObject | undefined

  constructor(input: Quantities) {
    super()
    this.#input = input
  }

  get measured(): boolean {
    return this.#done !== undefined && fromTranscription(this.#done).raw_usage !== null
  }

  protected onEvent(type: string, event: JsonObject): void {
    if (!type.startsWith('transcript.')) return
    this.#started = true
    if (type === 'transcript.text.done') {
      this.#done = event
      this.ended = true
    } else if (type === 'transcript.text.delta' && typeof event.delta === 'string')
      this.outputBytes += Buffer.byteLength(event.delta)
  }

  usage(): UsageResult {
    if (this.measured) return fromTranscription(this.#done)
    if (this.failed && !this.#started) return freeUsage()
    return fromTranscriptBytes(this.#input, this.outputBytes)
  }
}
