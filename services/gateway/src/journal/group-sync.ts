/**
 * Decides when to sync: `intervalMs` after the first write that no sync covers, or at the end of this turn of the loop where
 * somebody waits. One sync runs at a time, and what is written meanwhile shares the next.
 */
export class GroupSync {
  readonly #sync: () => Promise<void>
  readonly #intervalMs: number
  #running: Promise<void> | undefined
  #runningSince = 0
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #wanted = false
  #wantedAt = 0
  #urgent = false
  #stopped = false

  constructor(sync: () => Promise<void>, intervalMs: number) {
    this.#sync = sync
    this.#intervalMs = intervalMs
  }

  /** The sync under way. */
  get running(): Promise<void> | undefined {
    return this.#running
  }

  /** How long the sync under way has been so; 0: there is none. */
  get runningForMs(): number {
    return this.#running ? performance.now() - this.#runningSince : 0
  }

  /** Something was written. */
  soon(): void {
    if (this.#wanted || this.#stopped) return
    this.#wanted = true
    this.#wantedAt = performance.now()
    if (!this.#running && !this.#immediate) this.#wait()
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
    this.#stopped = true
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    await this.#running
  }

  #wait(): void {
    const waitedMs = performance.now() - this.#wantedAt
    this.#timer ??= setTimeout(() => this.#start(), Math.max(0, this.#intervalMs - waitedMs))
  }

  #start(): void {
    this.#timer = undefined
    this.#immediate = undefined
    this.#wanted = false
    this.#urgent = false
    this.#runningSince = performance.now()
    this.#running = this.#sync().finally(() => {
      this.#running = undefined
      if (this.#urgent) this.now()
      else if (this.#wanted) this.#wait()
    })
  }
}
