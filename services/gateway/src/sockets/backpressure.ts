import type WebSocket from 'ws'

/** Bytes that may wait for a reader before the other side is paused, and at which it goes on. */
const highWaterBytes = 1024 * 1024
const lowWaterBytes = 256 * 1024

/**
 * Sends to one side of a pair and lets the other wait while that one does not read: what waits in memory is bounded by the
 * mark and one message. A reader that takes nothing for `maxStallMs` is given up.
 */
export class BoundedSender {
  readonly #to: WebSocket
  readonly #pause: (isFull: boolean) => void
  readonly #maxStallMs: number
  #isFull = false
  #stallTimer: NodeJS.Timeout | undefined

  /** @param pause called when the other side has to wait, and when it may go on */
  constructor(to: WebSocket, pause: (isFull: boolean) => void, maxStallMs: number) {
    this.#to = to
    this.#pause = pause
    this.#maxStallMs = maxStallMs
    to.once('close', () => {
      clearTimeout(this.#stallTimer)
      if (this.#isFull) this.#pause(false)
    })
  }

  get isFull(): boolean {
    return this.#isFull
  }

  send(data: Buffer | string, isBinary: boolean): void {
    if (this.#to.readyState !== this.#to.OPEN) return
    this.#to.send(data, { binary: isBinary }, this.#onSent)
    if (this.#isFull || this.#to.bufferedAmount < highWaterBytes) return
    this.#isFull = true
    this.#pause(true)
    this.#watch()
  }

  #onSent = (): void => {
    if (!this.#isFull) return
    if (this.#to.bufferedAmount > lowWaterBytes) {
      this.#watch()
      return
    }
    this.#isFull = false
    clearTimeout(this.#stallTimer)
    this.#pause(false)
  }

  #watch(): void {
    clearTimeout(this.#stallTimer)
    this.#stallTimer = setTimeout(() => this.#to.terminate(), this.#maxStallMs)
  }
}
