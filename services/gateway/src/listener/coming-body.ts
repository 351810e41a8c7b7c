import type { Endpoint } from '../endpoints.ts'
import { type BodyMemory, bodyTooLarge } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { restMs } from '../take-rest.ts'

/** Where a body comes from. */
export interface BodySource {
  /** No more of it is wanted for now. */
  pause: () => void
  resume: () => void
  /** What had come before anybody asked is not held any more. */
  onTaken: () => void
}

const nothing = Buffer.alloc(0)

/** Whoever waits for the end of a body. */
interface Receiving {
  /** As large as the body. */
  buffer: Buffer
  memory: BodyMemory
  resolve: (body: Buffer) => void
  reject: (refusal: Refusal) => void
}

/**
 * A large body that comes after its call has begun: whoever answers looks at the credential first. It *waits* until it is asked
 * for, then it is *received* into memory of its size or, where the call is refused, *dropped*; it *ends* with its last byte or
 * with its connection.
 */
export class ComingBody {
  /** All of it has come. */
  isComplete = false
  readonly #source: BodySource
  readonly #bytes: number
  #length = 0
  /** What has come and nobody has asked for. */
  #early: Buffer
  #isTaken = false
  #receiving: Receiving | undefined
  #isClosed = false
  /** Waits until the rest is dropped. */
  #onRest: (() => void) | undefined

  /** @param early what has come with the head, until {@link keep} copies it */
  constructor(bytes: number, early: Buffer, source: BodySource) {
    this.#bytes = bytes
    this.#early = early
    this.#source = source
  }

  /** Behind the first chance to ask for it: what has come is kept, and no more is read until somebody asks. */
  keep(): void {
    if (this.#isTaken || this.#isClosed) return
    this.#early = Buffer.from(this.#early)
    this.#source.pause()
  }

  /** @throws Refusal 413 where it is too large, 503 where there is no memory for it; 400 by the promise where it ends early */
  receive({ maxBodyBytes }: Endpoint, memory: BodyMemory): Promise<Buffer> {
    const most = Math.min(maxBodyBytes, memory.capBytes)
    if (this.#bytes > most) throw bodyTooLarge({ maxBodyBytes: most })
    // All of it from now on: so much is set aside, however slowly it comes.
    memory.take(this.#bytes)
    return new Promise((resolve, reject) => {
      this.#receiving = { buffer: Buffer.allocUnsafeSlow(this.#bytes), memory, resolve, reject }
      this.#begin()
      if (this.#isClosed) this.#fail(endedEarly())
    })
  }

  /** Takes the rest of it and drops it, for a moment. */
  takeRest(): Promise<void> {
    if (this.isComplete || this.#isClosed) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(resolve, restMs)
      this.#onRest = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#begin()
    })
  }

  /** @param bytes what has come; only until this returns @returns how many of them are of this body */
  take(bytes: Buffer): number {
    const wanted = Math.min(bytes.length, this.#bytes - this.#length - this.#early.length)
    const own = wanted === bytes.length ? bytes : bytes.subarray(0, wanted)
    if (this.#isTaken) this.#add(own)
    else this.#early = Buffer.concat([this.#early, own])
    return wanted
  }

  /** The connection is gone. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#release()
    if (this.isComplete) return
    this.#fail(endedEarly())
    this.#onRest?.()
  }

  /** Somebody takes what comes, or drops it. */
  #begin(): void {
    if (this.#isTaken) return
    const early = this.#early
    this.#release()
    if (early.length > 0) this.#add(early)
    this.#source.resume()
  }

  #release(): void {
    if (this.#isTaken) return
    this.#isTaken = true
    this.#early = nothing
    this.#source.onTaken()
  }

  #add(bytes: Buffer): void {
    if (this.#receiving) bytes.copy(this.#receiving.buffer, this.#length)
    this.#length += bytes.length
    if (this.#length < this.#bytes) return
    this.isComplete = true
    this.#receiving?.resolve(this.#receiving.buffer)
    this.#receiving = undefined
    this.#onRest?.()
  }

  #fail(refusal: Refusal): void {
    const receiving = this.#receiving
    if (!receiving) return
    this.#receiving = undefined
    receiving.memory.release(this.#bytes)
    receiving.reject(refusal)
  }
}

function endedEarly(): Refusal {
  return new Refusal('invalid_request', 'The request ended before its body was complete.')
}
