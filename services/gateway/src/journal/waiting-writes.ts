interface Waiter {
  writes: number
  resolve: () => void
}

/** A wait for what was written so far. */
export interface Wait {
  done: Promise<void>
  /** Nobody waits any more. */
  giveUp: () => void
}

/** Who waits until so many writes are as safe as they have to be, in the order of the writes. */
export class WaitingWrites {
  readonly #waiters = new Set<Waiter>()

  get size(): number {
    return this.#waiters.size
  }

  wait(writes: number): Wait {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter = { writes, resolve }
    this.#waiters.add(waiter)
    return { done: promise, giveUp: () => void this.#waiters.delete(waiter) }
  }

  /** What they wait for has been written only now. */
  postpone(writes: number): void {
    for (const waiter of this.#waiters) waiter.writes = writes
  }

  /** So many writes are safe. */
  release(writes: number): void {
    for (const waiter of this.#waiters) {
      if (waiter.writes > writes) return
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}
