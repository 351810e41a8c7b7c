/**
 * Decides when to sync: `intervalMs` after a write, or at the end of this turn of the loop where somebody waits. One sync
 * runs at a time, and what is written meanwhile shares the next.
 */
export class GroupSync {
  readonly #sync: () => Promise<void>
  readonly #intervalMs: number
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #wanted = false
  #urgent = false

  constructor(sync: () => Promise<void>, intervalMs: number) {
    this.#sync = sync
    this.#intervalMs = intervalMs
  }

  /** The sync under way. */
  get running(): Promise<void> | undefined {
    return this.#running
  }

  /** Something was written. */
  soon(): void {
    this.#wanted = true
    if (this.#running || this.#timer || this.#immediate) return
    this.#timer = setTimeout(() => this.#start(), this.#intervalMs)
  }

  /** Somebody waits for what was written. */
  now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#urgent = true
    if (this.#running) return
    this.#immediate ??= setImmediate(() => this.#start())
  }

  /** Begins no more syncs, and waits for the one under way. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    await this.#running
  }

  #start(): void {
    this.#timer = undefined
    this.#immediate = undefined
    this.#wanted = false
    this.#urgent = false
    this.#running = this.#sync().finally(() => {
      this.#running = undefined
      if (this.#urgent) this.now()
      else if (this.#wanted) this.soon()
    })
  }
}
