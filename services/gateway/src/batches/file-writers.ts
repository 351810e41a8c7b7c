import { setTimeout as delay } from 'node:timers/promises'
import type { BatchJobsView, KeptBatch } from '../views/batch-jobs-view.ts'
import type { BatchPoller } from './batch-poller.ts'

/** What is known of who has written a file. */
export interface Writers {
  /** The batch that has written it. */
  batch: KeptBatch | undefined
  /** Batches that may have written it: nobody could be asked. */
  untold: KeptBatch[]
}

/** Batches that are asked for one file at once, and for all files of a project in a minute. */
const maxAsked = 20
const maxAskedPerMinute = 120
/** File ids and batches that are remembered, and how long an id is. */
const maxRemembered = 10_000
const rememberedMs = 10 * 60_000
/** A view is milliseconds behind a batch that was settled, or that another gateway is just looking at. */
const viewMs = 1_000

/**
 * Finds the batch that has written a file, also where it has ended, and told its client so, before we have looked at it. A
 * batch that still runs after a file was first asked for has not written it: so who asks again gets on, and whatever ids a
 * client makes up, the provider is asked within bounds.
 */
export class FileWriters {
  readonly #jobs: Pick<BatchJobsView, 'ofProject'>
  readonly #poller: Pick<BatchPoller, 'look'>
  readonly #namedAtMs = new Map<string, number>()
  readonly #ranAtMs = new Map<string, number>()
  readonly #asked = new Map<string, number>()
  #minute = 0

  constructor(jobs: Pick<BatchJobsView, 'ofProject'>, poller: Pick<BatchPoller, 'look'>) {
    this.#jobs = jobs
    this.#poller = poller
  }

  /** @param mayAsk which batches are looked at where the writer is not known */
  async find(projectId: string, fileId: string, mayAsk: (batch: KeptBatch) => boolean): Promise<Writers> {
    const known = this.#writerOf(projectId, fileId)
    if (known) return { batch: known, untold: [] }
    const namedAtMs = this.#firstNamed(`${projectId} ${fileId}`)
    const untold = () => this.#untold(projectId, namedAtMs)
    const wanted = untold().filter(mayAsk)
    const asked = wanted.slice(0, this.#take(projectId, Math.min(wanted.length, maxAsked)))
    let done = asked.length === 0
    const asking = Promise.all(asked.map(batch => this.#ask(projectId, batch))).then(() => {
      done = true
    })
    // What a batch has written is known before all of it is settled.
    while (!done && !this.#writerOf(projectId, fileId)) await Promise.race([asking, delay(50)])
    return { batch: this.#writerOf(projectId, fileId), untold: untold() }
  }

  async #ask(projectId: string, batch: KeptBatch): Promise<void> {
    for (let tries = 0; tries < 2; tries++) {
      const beganAtMs = Date.now()
      const outcome = await this.#poller.look(batch)
      if (outcome === 'running') remember(this.#ranAtMs, batch.key, beganAtMs)
      if (outcome === 'running' || outcome === 'failed') return
      const deadline = performance.now() + viewMs / (outcome === 'settled' ? 1 : 4)
      while (performance.now() < deadline) {
        if (!this.#untold(projectId, beganAtMs).some(({ key }) => key === batch.key)) return
        await delay(20)
      }
    }
  }

  #writerOf(projectId: string, fileId: string): KeptBatch | undefined {
    return this.#jobs.ofProject(projectId, 'openai').find(({ job }) => job.result_file_ids?.includes(fileId) === true)
  }

  #untold(projectId: string, sinceMs: number): KeptBatch[] {
    return this.#jobs
      .ofProject(projectId, 'openai')
      .filter(
        ({ key, job }) =>
          job.state === 'running' && job.result_file_ids === undefined && (this.#ranAtMs.get(key) ?? 0) < sinceMs,
      )
  }

  #firstNamed(name: string): number {
    const nowMs = Date.now()
    const named = this.#namedAtMs.get(name)
    if (named !== undefined && nowMs - named < rememberedMs) return named
    remember(this.#namedAtMs, name, nowMs)
    return nowMs
  }

  /** @returns how many of `wanted` may be asked in this minute */
  #take(projectId: string, wanted: number): number {
    const minute = Math.floor(performance.now() / 60_000)
    if (minute !== this.#minute) this.#asked.clear()
    this.#minute = minute
    const before = this.#asked.get(projectId) ?? 0
    const taken = Math.min(wanted, maxAskedPerMinute - before)
    if (taken > 0) this.#asked.set(projectId, before + taken)
    return taken
  }
}

/** The oldest goes where there are too many. */
function remember(memory: Map<string, number>, name: string, atMs: number): void {
  memory.delete(name)
  memory.set(name, atMs)
  if (memory.size <= maxRemembered) return
  const [oldest] = memory.keys()
  if (oldest !== undefined) memory.delete(oldest)
}
