import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, type KvGroupWriter, type KvRecords, openGroupWriter, openRecords } from '@sluice/bus'
import { MadeObject, madeObjectKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { counter } from '@sluice/telemetry'
import { Refusal } from '../refusal.ts'

const forgotten = counter(
  'gateway_made_objects_forgotten_total',
  'Ids that are not remembered: too many waited for NATS',
)

/** Ids that this process answers for without a look-up: about 10 MB. */
const maxRecent = 50_000
/** Ids that wait for NATS; what comes on top is remembered by this process alone. */
const maxWaiting = 50_000
const maxGroup = 256
/** From an id to its record: ids that come meanwhile go in the same group. */
const gatherMs = 10

/**
 * What projects have made under the operator's credential: responses, items of their output, containers. Nobody waits for a
 * record to be written, and nothing is looked up but for a request that names an id; what this process has made just now it
 * knows itself.
 */
export class MadeObjects {
  readonly #bus: Bus
  readonly #log: Logger
  readonly #records: KvRecords<MadeObject>
  readonly #writer: KvGroupWriter<MadeObject>
  /** When each was made, by key, the oldest first. */
  readonly #recent = new Map<string, number>()
  #waiting: { key: string; value: MadeObject }[] = []
  #writing: Promise<void> | undefined
  readonly #stop = new AbortController()

  private constructor(bus: Bus, log: Logger, records: KvRecords<MadeObject>) {
    this.#bus = bus
    this.#log = log
    this.#records = records
    this.#writer = openGroupWriter(bus, 'made-objects', MadeObject)
  }

  static async open(bus: Bus, log: Logger): Promise<MadeObjects> {
    return new MadeObjects(bus, log, await openRecords(bus, 'made-objects', MadeObject))
  }

  /** Remembers what a project has made, in its own time. */
  add(projectId: string, ids: readonly string[], madeAtMs: number): void {
    const value = { made_at_ms: madeAtMs }
    for (const id of ids) {
      const key = keyOf(projectId, id)
      this.#recent.delete(key)
      this.#recent.set(key, madeAtMs)
      if (this.#waiting.length < maxWaiting) this.#waiting.push({ key, value })
      else forgotten.inc()
    }
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= maxRecent) break
      this.#recent.delete(oldest)
    }
    if (this.#waiting.length > 0) this.#writing ??= this.#write()
  }

  /** True where this process has seen it made, or has looked it up: false says nothing. */
  knows(projectId: string, id: string): boolean {
    return this.#recent.has(keyOf(projectId, id))
  }

  /** @throws Refusal 503 where nobody can say */
  async find(projectId: string, id: string): Promise<boolean> {
    const key = keyOf(projectId, id)
    if (this.#recent.has(key)) return true
    if (!this.#bus.isConnected()) throw recordsAway()
    try {
      return (await this.#records.get(key)) !== undefined
    } catch (cause) {
      throw recordsAway(cause)
    }
  }

  /** Writes what waits, if that can be done now. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#writing
  }

  async #write(): Promise<void> {
    await this.#pause(gatherMs)
    for (let tries = 0; this.#waiting.length > 0; ) {
      const group = this.#waiting.slice(0, maxGroup)
      try {
        await this.#writer.put(group)
        this.#waiting = this.#waiting.slice(group.length)
        tries = 0
      } catch (err) {
        if (tries === 0)
          this.#log.warn({ err, waiting: this.#waiting.length }, 'what projects make is not recorded yet')
        if (this.#stop.signal.aborted) break
        await this.#pause(Math.min(100 * 2 ** tries++, 5_000))
      }
    }
    this.#writing = undefined
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined)
  }
}

/** Ids are the provider's: hashed, they fit a key whatever is in them. */
function keyOf(projectId: string, id: string): string {
  return madeObjectKey(projectId, hash('sha256', id, 'hex').slice(0, 40))
}

function recordsAway(cause?: unknown): Refusal {
  return new Refusal(
    'records_unavailable',
    'This gateway cannot look up what this project has made right now. Try again in a moment.',
    { retryAfterS: 1, cause },
  )
}
