import type { Call } from '../call.ts'
import type { Frame } from '../frames.ts'
import type { Producing } from '../production.ts'
import { type MediaMetered, type MediaPrice, NOTHING_MADE, priceMedia } from './media-prices.ts'

/** What a call for sound or images is to make, fixed before its first byte. */
export interface MediaScript {
  readonly model: string
  readonly price: MediaPrice
  /** All of it, input and output. */
  readonly metered: MediaMetered
  /** The item that tokens of its frames add to. */
  readonly product: 'text_output' | 'audio_output' | 'image_output'
  readonly quality: string
  readonly size: string
}

/** The making of sound, text or images: what there is of it so far, and whether anyone still waits. */
export class MediaProduction implements Producing {
  readonly #call: Call
  readonly #script: MediaScript
  #produced = 0
  #started = false
  #ended = false
  #wake: (() => void) | undefined

  constructor(call: Call, script: MediaScript, streamed: boolean) {
    const { record, reply } = call
    if (record === undefined) throw new Error('Only an endpoint that is on the bill produces.')
    this.#call = call
    this.#script = script
    record.model = script.model
    record.served_tier = 'default'
    record.streamed = streamed
    record.http_status = 200
    reply.once('close', () => {
      if (this.#ended) return
      record.abort_seen_at_ms = Date.now()
      this.end('aborted')
      this.#wake?.()
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  produce(frame: Pick<Frame, 'tokens'>): void {
    this.#started = true
    this.#produced += frame.tokens
  }

  produceAll(): void {
    this.#started = true
    this.#produced = this.#script.metered[this.#script.product]
  }

  /** What is sold by the character, the second or the image is sold whole once it is begun; a failure before that is free. */
  end(ended: 'completed' | 'aborted' | 'failed'): void {
    if (this.#ended) return
    this.#ended = true
    const { record, bill } = this.#call
    if (record === undefined) return
    record.generated_output_tokens = this.#produced
    const { metered, price, product } = this.#script
    const made = ended === 'failed' && !this.#started ? NOTHING_MADE : { ...metered, [product]: this.#produced }
    bill.closeAt(record, ended, priceMedia(price, made, this.#script))
  }

  pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      if (ms === 0 || this.#ended) return resolve()
      const done = () => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#wake = done
    })
  }
}
