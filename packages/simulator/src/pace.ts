import type { Directives } from './directives.ts'

/** When tokens appear: a first wait, then `burst` chunks at a time with a wait between. */
export class Pace {
  readonly #firstDelayMs: number
  readonly #delayMs: number
  readonly #burst: number
  #chunks = 0

  constructor(directives: Directives) {
    this.#firstDelayMs = directives.number('first_delay_ms') ?? 0
    this.#delayMs = directives.number('delay_ms') ?? 0
    this.#burst = Math.max(1, directives.number('burst') ?? 1)
  }

  get isInstant(): boolean {
    return this.#firstDelayMs === 0 && this.#delayMs === 0
  }

  /** Milliseconds to wait before the next chunk. */
  next(): number {
    const chunk = this.#chunks
    this.#chunks += 1
    if (chunk === 0) return this.#firstDelayMs
    return chunk % this.#burst === 0 ? this.#delayMs : 0
  }
}
