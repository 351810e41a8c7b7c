import type { Call } from './call.ts'
import { NOTHING_METERED } from './cost.ts'
import type { Frame } from './frames.ts'
import { Produced } from './produced.ts'
import type { Script } from './script.ts'

/** What plays a generation needs of it. */
export interface Producing {
  /** The bill is closed: completed, failed, or the client hung up. */
  readonly ended: boolean
  produce: (frame: Frame) => void
  /** Everything at once, for an answer that takes no time. */
  produceAll: () => void
  /** Closes the bill, once. */
  end: (ended: 'completed' | 'aborted' | 'failed') => void
  /** Lets time pass; cut short when the client hangs up. */
  pause: (ms: number) => Promise<void>
}

/** What is charged, and who has to stay for it: an HTTP reply or a socket. */
export interface ProducingCall extends Pick<Call, 'record' | 'bill'> {
  readonly reply: { once(event: 'close', listener: () => void): unknown }
}

/** What of a script is charged, and how. */
export type Charged = Pick<Script, 'model' | 'price' | 'tier' | 'geo' | 'metered'> &
  Partial<Pick<Script, 'speed' | 'searchesPreview' | 'beside'>>

/** One generation while it runs: what has been produced so far, and whether anyone still listens. */
export class Production implements Producing {
  readonly #call: ProducingCall
  readonly #script: Charged
  readonly #produced: Produced
  #started = false
  #ended = false
  #wake: (() => void) | undefined

  constructor(
    call: ProducingCall,
    script: Charged,
    about: { readonly responseId: string | null; readonly streamed: boolean },
  ) {
    const { record, reply } = call
    if (record === undefined) throw new Error('Only an endpoint that is on the bill produces.')
    this.#call = call
    this.#script = script
    this.#produced = new Produced(script)
    record.response_id = about.responseId
    record.model = script.model
    record.served_tier = script.tier
    record.streamed = about.streamed
    record.http_status = 200
    reply.once('close', () => {
      if (this.#ended) return
      record.abort_seen_at_ms = Date.now()
      this.end('aborted')
      this.#wake?.()
    })
  }

  /** The bill is closed: completed, failed, or the client hung up. */
  get ended(): boolean {
    return this.#ended
  }

  produce(frame: Frame): void {
    this.#started = true
    this.#produced.add(frame)
  }

  /** Everything at once, for an answer that takes no time. */
  produceAll(): void {
    this.#started = true
    this.#produced.addAll()
  }

  /** Closes the bill with the input and what was produced, once. A failure before the first event costs nothing. */
  end(ended: 'completed' | 'aborted' | 'failed'): void {
    if (this.#ended) return
    this.#ended = true
    const { record, bill } = this.#call
    if (record === undefined) return
    record.generated_output_tokens = this.#produced.output
    if (ended === 'failed' && !this.#started) {
      bill.close(record, ended, NOTHING_METERED)
      return
    }
    bill.close(record, ended, this.#produced.metered(), this.#script, this.#produced.beside())
  }

  /** Lets time pass; cut short when the client hangs up. */
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
