import type { BodyMemory } from './read-request.ts'

/** What a request body counts for in the gateway's memory, until nobody holds the body any more. */
export class HeldBody {
  /** A call to a provider has it: it is let go there, not with the client's connection. */
  isForwarded = false
  readonly #memory: BodyMemory
  #bytes: number

  constructor(memory: BodyMemory, bytes: number) {
    this.#memory = memory
    this.#bytes = bytes
  }

  /** Nobody holds it. A second time does nothing. */
  release(): void {
    this.#memory.release(this.#bytes)
    this.#bytes = 0
  }
}
