import { setTimeout as delay } from 'node:timers/promises'
import { HOMES, type LeaseHello, type LeaseTotals } from '@sluice/contracts'
import type { LeasePublisher } from './lease-publisher.ts'

/** A run of this gateway, or of one whose journal was adopted, that has ended. */
export interface EndedRun {
  gatewayId: string
  epoch: number
  /** All that its journal names. */
  leases: readonly LeaseTotals[]
}

const againMs = 500
const mostLeases = 1_000

/** Tells homes what runs that have ended leave behind: `budget.hello.v1.<home>`, until each has answered. */
export class EndedRuns {
  readonly #publisher: LeasePublisher
  readonly #stop = new AbortController()

  constructor(publisher: LeasePublisher) {
    this.#publisher = publisher
  }

  /**
   * Resolves when every home has taken it. Rejects when this process shuts down before: the next run says it again. Which home a
   * lease is of stands in no journal: each is told of all, and passes over what it has not got.
   */
  async tell(run: EndedRun): Promise<void> {
    await Promise.all(Array.from({ length: HOMES }, (_, home) => this.#tellHome(run, home)))
  }

  async #tellHome({ gatewayId, epoch, leases }: EndedRun, home: number): Promise<void> {
    for (let at = 0; at === 0 || at < leases.length; at += mostLeases) {
      const message: LeaseHello = {
        gateway_id: gatewayId,
        ended_epoch: epoch,
        at_ms: Date.now(),
        leases: leases.slice(at, at + mostLeases),
        more: at + mostLeases < leases.length,
      }
      while (!(await this.#isAnswered(home, message)))
        await delay(againMs, undefined, { signal: this.#stop.signal, ref: false })
    }
  }

  async #isAnswered(home: number, message: LeaseHello): Promise<boolean> {
    this.#stop.signal.throwIfAborted()
    try {
      await this.#publisher.hello(home, message)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#stop.abort(new Error('shutting down'))
  }
}
