/** Time that passes only when something is due; what is due at once runs in the order in which it was asked for. */
export class SimulatedClock {
  nowMs = 0
  #order = 0
  readonly #heap: { atMs: number; order: number; run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    const entry = { atMs: this.nowMs + delayMs, order: this.#order++, run }
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (!above || isBefore(above, entry)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  /** Runs all that is due up to `untilMs`. */
  runUntil(untilMs: number): void {
    for (let next = this.#heap[0]; next && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#removeFirst()
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = untilMs
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (!last || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      const [a, b] = [heap[left], heap[right]]
      if (!a) break
      const child = b && isBefore(b, a) ? right : left
      const below = child === right && b ? b : a
      if (isBefore(last, below)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: { atMs: number; order: number }, b: { atMs: number; order: number }): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
