/** The numbers of one series that were seen, and those that should have been. */
export class MissingNumbers {
  #last: number
  readonly #missing: number[] = []

  /** `last`: the highest number before the first that will be seen. */
  constructor(last: number) {
    this.#last = last
  }

  /** The highest number that was seen. */
  get last(): number {
    return this.#last
  }

  /** How many numbers below `last` were not seen. */
  get count(): number {
    return this.#missing.length
  }

  /** Notes a number. False: it was seen before. */
  see(seq: number): boolean {
    if (seq > this.#last) {
      for (let absent = this.#last + 1; absent < seq; absent++) this.#missing.push(absent)
      this.#last = seq
      return true
    }
    const index = this.#missing.indexOf(seq)
    if (index < 0) return false
    this.#missing.splice(index, 1)
    return true
  }

  /** The number for an event that had one and lost it: the lowest missing, else the one after the last. Seen from now on. */
  takeMissing(): number {
    return this.#missing.shift() ?? this.takeNext()
  }

  /** The number for an event that never had one. Seen from now on. */
  takeNext(): number {
    return ++this.#last
  }
}
