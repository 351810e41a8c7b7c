import type { Dialect } from './call.ts'

export type Verdict = 'succeeded' | 'errored' | 'canceled' | 'expired'

/** One request of a batch. What it says and costs is decided when its turn comes. */
export interface BatchItem {
  readonly customId: string
  /** What was ordered to become of it, where that is not success. */
  readonly ordered: Exclude<Verdict, 'succeeded'> | undefined
  /** Works on it, puts it on the bill, and tells how it ended with the dialect's line of it. */
  readonly work: (verdict: Verdict) => { readonly verdict: Verdict; readonly line: string }
}

export interface BatchOrder {
  readonly id: string
  readonly dialect: Dialect
  /** Batches are seen by the credential that made them. */
  readonly credentialSha256: string
  readonly items: readonly BatchItem[]
  /** From creation to the end; the requests are worked on evenly in between. */
  readonly durationMs: number
  /** What the dialect's own fields say of it, unchanged for ever. */
  readonly fields: { readonly [name: string]: unknown }
}

/** A batch of requests, worked on over time; where it stands follows from the clock alone. */
export class Batch {
  readonly order: BatchOrder
  readonly createdAtMs: number
  cancelledAtMs: number | undefined
  endedAtMs: number | undefined
  readonly counts: Record<Verdict, number> = { succeeded: 0, errored: 0, canceled: 0, expired: 0 }
  readonly results: { readonly verdict: Verdict; readonly line: string }[] = []

  constructor(order: BatchOrder, createdAtMs: number) {
    this.order = order
    this.createdAtMs = createdAtMs
  }

  /** Works on what is due. After a cancellation nothing more is begun. */
  advance(nowMs: number): void {
    const { items, durationMs } = this.order
    const until = Math.min(nowMs, this.cancelledAtMs ?? nowMs)
    while (this.results.length < items.length) {
      const dueAtMs = this.createdAtMs + (durationMs * (this.results.length + 1)) / items.length
      if (dueAtMs > until && this.cancelledAtMs === undefined) return
      const item = items[this.results.length]
      if (item === undefined) return
      this.#finish(item, dueAtMs > until ? 'canceled' : (item.ordered ?? 'succeeded'))
    }
    this.endedAtMs ??= nowMs
  }

  cancel(nowMs: number): void {
    this.advance(nowMs)
    if (this.endedAtMs === undefined) this.cancelledAtMs ??= nowMs
  }

  #finish(item: BatchItem, ordered: Verdict): void {
    const result = item.work(ordered)
    this.counts[result.verdict] += 1
    this.results.push(result)
  }
}

/** Every batch of the simulated provider, newest last. */
export class BatchShop {
  readonly #batches = new Map<string, Batch>()
  #timers = new Set<NodeJS.Timeout>()

  open(order: BatchOrder): Batch {
    const batch = new Batch(order, Date.now())
    this.#batches.set(order.id, batch)
    // Nobody has to ask: the work is done and billed when its time has come.
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      batch.advance(Date.now())
    }, order.durationMs + 1)
    this.#timers.add(timer)
    return batch
  }

  find(id: string, dialect: Dialect, credentialSha256: string): Batch | undefined {
    const batch = this.#batches.get(id)
    if (batch?.order.dialect !== dialect || batch.order.credentialSha256 !== credentialSha256) return undefined
    batch.advance(Date.now())
    return batch
  }

  /** Newest first. */
  list(dialect: Dialect, credentialSha256: string): Batch[] {
    const own = [...this.#batches.values()].filter(
      ({ order }) => order.dialect === dialect && order.credentialSha256 === credentialSha256,
    )
    for (const batch of own) batch.advance(Date.now())
    return own.reverse()
  }

  delete(id: string): void {
    this.#batches.delete(id)
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
