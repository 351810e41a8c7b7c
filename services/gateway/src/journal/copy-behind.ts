import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@sluice/runtime'
import type { Position } from './epoch-reader.ts'

export interface CopyBehindOptions {
  /** Copies everything up to a place. False: it never will. */
  copy: (upTo: Position) => Promise<boolean>
  /** The copy has everything up to here, which is so many writes. */
  onCopied: (upTo: Position, writes: number) => void
  /** Called when the copy becomes late, and when it has caught up. */
  onLate: (isLate: boolean) => void
  /** How long what is synced may wait for its copy until that is late. */
  lateMs: number
  log: Logger
}

interface Synced {
  upTo: Position
  writes: number
  sinceMs: number
}

/**
 * Has what is synced copied, behind the syncs and without holding them up. One copy runs at a time, and all that is synced
 * meanwhile shares the next: what waits is one place in the files, however long the copy takes.
 */
export class CopyBehind {
  readonly #options: CopyBehindOptions
  #waiting: Synced | undefined
  #isCopying = false
  #isEnded = false
  #isLate = false
  #lateTimer: NodeJS.Timeout | undefined

  constructor(options: CopyBehindOptions) {
    this.#options = options
  }

  /** What was synced a while ago is not copied yet. */
  get isLate(): boolean {
    return this.#isLate
  }

  /** Everything up to here is synced. */
  add(upTo: Position, writes: number): void {
    if (this.#isEnded) return
    // In place of what waits already, and as old as that.
    this.#waiting = { upTo, writes, sinceMs: this.#waiting?.sinceMs ?? performance.now() }
    if (!this.#isCopying) void this.#copyAll()
  }

  stop(): void {
    this.#isEnded = true
    clearTimeout(this.#lateTimer)
  }

  async #copyAll(): Promise<void> {
    this.#isCopying = true
    for (let next = this.#waiting; next && !this.#isEnded; next = this.#waiting) {
      this.#waiting = undefined
      this.#watch(next.sinceMs)
      const isCopied = await this.#copy(next.upTo)
      clearTimeout(this.#lateTimer)
      if (!isCopied) return this.stop()
      this.#options.onCopied(next.upTo, next.writes)
    }
    this.#isCopying = false
    this.#setLate(false)
  }

  /** Where the copy fails for a reason of this machine, it is tried again. */
  async #copy(upTo: Position): Promise<boolean> {
    while (!this.#isEnded) {
      try {
        return await this.#options.copy(upTo)
      } catch (err) {
        this.#options.log.error({ err }, 'journal not copied, will be tried again')
        await delay(1_000)
      }
    }
    return false
  }

  #watch(sinceMs: number): void {
    const leftMs = sinceMs + this.#options.lateMs - performance.now()
    if (leftMs > 0) this.#setLate(false)
    this.#lateTimer = setTimeout(() => this.#setLate(true), Math.max(0, leftMs))
  }

  #setLate(isLate: boolean): void {
    if (isLate === this.#isLate) return
    this.#isLate = isLate
    this.#options.onLate(isLate)
  }
}
