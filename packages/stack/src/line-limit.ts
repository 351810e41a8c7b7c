/** Lines a second at most; beyond it one line says how many more there were, also where nothing comes after them. */
export class LineLimit {
  readonly #print: (line: string) => void
  readonly #linesPerSecond: number
  #printed = 0
  #skipped = 0
  #ofSecond: NodeJS.Timeout | undefined

  constructor(linesPerSecond: number, print: (line: string) => void) {
    this.#linesPerSecond = linesPerSecond
    this.#print = print
  }

  /** Whether there is room for one more line, which is then taken. A second begins with the first line after the last one. */
  take(): boolean {
    this.#ofSecond ??= setTimeout(() => this.#endSecond(), 1_000).unref()
    if (this.#printed < this.#linesPerSecond) {
      this.#printed++
      return true
    }
    this.#skipped++
    return false
  }

  #endSecond(): void {
    if (this.#skipped > 0) this.#print(`… and ${this.#skipped} more calls in that second`)
    this.#ofSecond = undefined
    this.#printed = 0
    this.#skipped = 0
  }
}
