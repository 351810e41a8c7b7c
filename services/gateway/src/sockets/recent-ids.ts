/** The latest ids that were added, up to a number: what comes again is known. */
export class RecentIds {
  readonly #ids = new Set<string>()
  readonly #max: number
  constructor(max: number) {
    this.#max = max
  }
  has(id: string): boolean {
    return this.#ids.has(id)
  }
  add(id: string): void {
    this.#ids.delete(id)
    this.#ids.add(id)
    for (const oldest of this.#ids) {
      if (this.#ids.size <= this.#max) return
      this.#ids.delete(oldest)
    }
  }
}
