import type { Quantities } from '@sluice/contracts'
import { isObject, type JsonObject } from '../json-fields.ts'
import type { StreamTap } from '../stream-tap.ts'
import { freeUsage, type UsageResult } from '../usage-result.ts'
import { SoundCount } from './sound-rate.ts'
import { fromSpeechBytes, fromSpeechDone } from './speech.ts'
import { TypedEventTap } from './typed-event-tap.ts'

export interface SpeechTapOptions {
  /** As `speechInput` gives it. */
  input: Quantities
  /** Of the sound: `mp3`, `wav`, … Absent: what the provider takes where nothing is asked for. */
  format?: string | undefined
  /** The client asked for the sound alone: {@link StreamTap.forward} returns it out of its events. */
  unwrap: boolean
}

/** Watches the events of a speech stream. */
export function openSpeechTap(options: SpeechTapOptions): StreamTap {
  return new SpeechTap(options)
}

class SpeechTap extends TypedEventTap {
  protected override readonly maxParsedBytes = Number.POSITIVE_INFINITY
  readonly #options: SpeechTapOptions
  #started = false
  #done: JsonObject | undefined
  #sound: Buffer[] = []
  readonly #count: SoundCount

  constructor(options: SpeechTapOptions) {
    super()
    this.#options = options
    this.#count = new SoundCount(options.format)
  }

  get measured(): boolean {
    return isObject(this.#done?.usage)
  }

  protected onEvent(type: string, event: JsonObject): void {
    if (!type.startsWith('speech.')) return
    this.#started = true
    if (type === 'speech.audio.done') {
      this.#done = event
      this.ended = true
    } else if (type === 'speech.audio.delta' && typeof event.audio === 'string') {
      const sound = Buffer.from(event.audio, 'base64')
      this.#count.add(sound)
      this.outputBytes = this.#count.bytes
      if (this.#options.unwrap && sound.length > 0) this.#sound.push(sound)
    }
  }

  override forward(chunk: Uint8Array): readonly Uint8Array[] {
    if (!this.#options.unwrap) return super.forward(chunk)
    this.write(chunk)
    const sound = this.#sound
    this.#sound = []
    return sound
  }

  usage(): UsageResult {
    if (this.measured) return fromSpeechDone(this.#done)
    if (this.failed && !this.#started) return freeUsage()
    return fromSpeechBytes(this.#options.input, {
      audioBytes: this.outputBytes,
      bytesPerSecond: this.#count.bytesPerSecond,
      isWhole: this.ended && !this.failed,
    })
  }
}
