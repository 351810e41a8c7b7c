import { Worker } from 'node:worker_threads'
import type { SoundAnswer, SoundJob } from './sound-meter-worker.ts'

/** How long sound is, in milliseconds. */
export interface SoundLength {
  /** By its header, else by its size. */
  ms: number
  /** The longest that it is taken for, where money is held: no header makes it shorter than its size does. */
  mostMs: number
}

/** Where none is sent. */
export const noSound: SoundLength = { ms: 0, mostMs: 0 }

/** Where no file says how long it is: sound at 64 kbit/s, as speech is kept. */
const bytesPerMs = 8
/** The lowest rate that sound is sent at anywhere, 8 kbit/s. */
const leastBytesPerMs = 1
/** Files that wait for their turn; beyond, and after the time, a length is told by size. */
const maxWaiting = 16
/** Loading what reads containers is not the file's fault: it has time of its own. */
const maxStartMs = 10_000
const maxWaitMs = 3_000

/**
 * Tells how long uploaded sound is, by the header of its container. Files come from strangers: they are read by a thread of
 * their own, one after the other, with little memory, and one that takes too long is given up together with its thread.
 */
export class SoundMeter {
  /** The thread, once it can read files; undefined: it could not be started. */
  #thread: Promise<Worker | undefined> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  readonly #maxJobMs: number

  /** @param maxJobMs what is not read by then is given up */
  constructor({ maxJobMs = 2_000 } = {}) {
    this.#maxJobMs = maxJobMs
  }

  /** By the size of the file where it cannot be read. */
  async measure(job: SoundJob): Promise<SoundLength> {
    const { sizeBytes } = job
    const bySize = { ms: Math.ceil(sizeBytes / bytesPerMs), mostMs: Math.ceil(sizeBytes / leastBytesPerMs) }
    if (this.#waiting >= maxWaiting) return bySize
    this.#waiting += 1
    const since = performance.now()
    const turn = this.#last.then(() => (performance.now() - since > maxWaitMs ? undefined : this.#ask(job)))
    this.#last = turn
    const answer = await turn
    this.#waiting -= 1
    if (!answer) return bySize
    const { ms, mostBytesPerMs = bytesPerMs } = answer
    return { ms, mostMs: Math.max(ms, Math.ceil(sizeBytes / mostBytesPerMs)) }
  }

  async close(): Promise<void> {
    await (await this.#thread)?.terminate()
  }

  async #ask(job: SoundJob): Promise<SoundAnswer> {
    this.#thread ??= this.#start()
    const worker = await this.#thread
    if (!worker) return undefined
    return await new Promise(resolve => {
      const onAnswer = (answer: SoundAnswer): void => {
        clearTimeout(timer)
        worker.off('message', onAnswer)
        worker.off('exit', onBroken)
        resolve(answer)
      }
      const onBroken = (): void => {
        this.#thread = undefined
        onAnswer(undefined)
        void worker.terminate()
      }
      const timer = setTimeout(onBroken, this.#maxJobMs)
      worker.on('message', onAnswer)
      worker.on('exit', onBroken)
      worker.postMessage(job)
    })
  }

  #start(): Promise<Worker | undefined> {
    const worker = new Worker(new URL('./sound-meter-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16 },
      stdout: false,
      env: {},
    })
    // Its exit follows, and says the same.
    worker.on('error', () => undefined)
    worker.unref()
    return new Promise(resolve => {
      const timer = setTimeout(() => worker.terminate(), maxStartMs)
      const onExit = (): void => {
        clearTimeout(timer)
        this.#thread = undefined
        resolve(undefined)
      }
      worker.once('exit', onExit)
      worker.once('message', () => {
        clearTimeout(timer)
        worker.off('exit', onExit)
        resolve(worker)
      })
    })
  }
}
