/**
 * Providers that are read on for clients that have left. Each holds a connection and what its reply needs, so there are only
 * so many at once; those that run are nearer to their usage than a new one, which is ended instead, as under `cancel`.
 */
export class Drains {
  readonly #max: number
  readonly #onRefused: () => void
  #running = 0

  constructor(max: number, onRefused: () => void = () => {}) {
    this.#max = max
    this.#onRefused = onRefused
  }

  get running(): number {
    return this.#running
  }

  /** Takes a place, to be given back by {@link Drains.end}. False: there is none. */
  begin(): boolean {
    if (this.#running >= this.#max) {
      this.#onRefused()
      return false
    }
    this.#running++
    return true
  }

  end(): void {
    this.#running--
  }
}
