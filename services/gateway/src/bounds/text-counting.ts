import { Worker } from 'node:worker_threads'

/** Shorter texts are counted where they are: to hand one over costs as much. */
const nearLength = 8_192
/** Texts that may wait in the thread, and what they may come to. */
const mostWaiting = 64
const mostWaitingLength = 64 * 1024 * 1024
/** Whoever waits longer does without. */
const patienceMs = 400
/** The same while the thread loads its vocabulary, once: a third of a second of CPU, on a machine that may have none to spare. */
const loadingMs = 10_000

interface Waiting {
  length: number
  timer: NodeJS.Timeout
  resolve: (tokens: number) => void
  reject: (error: Error) => void
}

/** A text that was not counted: bytes have to do. */
export class NotCountedError extends Error {
  override name = 'NotCountedError'
}

/**
 * Counts all tokens of long texts in a thread of its own, so that no call waits for another one's text. The thread begins with
 * the first long text, and again after it has ended; its vocabulary takes 70 MB.
 */
export class TextCounting {
  readonly #countNear: (text: string) => number | undefined
  readonly #waiting = new Map<number, Waiting>()
  #waitingLength = 0
  #next = 0
  #thread: Worker | undefined
  #hasLoaded = false

  /** @param countNear counts a short text at once; undefined: it cannot now */
  constructor(countNear: (text: string) => number | undefined) {
    this.#countNear = countNear
  }

  /** Rejects with {@link NotCountedError} where there is no time or room for it. */
  count(text: string): number | Promise<number> {
    if (text.length <= nearLength) {
      const tokens = this.#countNear(text)
      if (tokens !== undefined) return tokens
    }
    if (this.#waiting.size >= mostWaiting || this.#waitingLength + text.length > mostWaitingLength)
      return Promise.reject(new NotCountedError('Too many texts wait to be counted.'))
    const thread = this.#begin()
    const id = this.#next++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id)?.reject(new NotCountedError('Counting took too long.')),
        this.#hasLoaded ? patienceMs : loadingMs,
      )
      this.#waiting.set(id, { length: text.length, timer, resolve, reject })
      this.#waitingLength += text.length
      thread.postMessage({ id, text })
    })
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #begin(): Worker {
    if (this.#thread) return this.#thread
    const thread = new Worker(new URL('./text-counting-thread.ts', import.meta.url))
    thread.unref()
    this.#hasLoaded = false
    thread.on('message', ({ id, tokens }: { id: number; tokens: number }) => {
      this.#hasLoaded = true
      this.#settle(id)?.resolve(tokens)
    })
    const end = (): void => {
      if (this.#thread !== thread) return
      this.#thread = undefined
      for (const id of [...this.#waiting.keys()])
        this.#settle(id)?.reject(new NotCountedError('The thread that counts has ended.'))
    }
    thread.on('error', end)
    thread.on('exit', end)
    this.#thread = thread
    return thread
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    if (!waiting) return undefined
    this.#waiting.delete(id)
    this.#waitingLength -= waiting.length
    clearTimeout(waiting.timer)
    return waiting
  }
}
