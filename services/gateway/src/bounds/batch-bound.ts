import type { CallBound } from './call-bound.ts'
import { LinearBound } from './linear-bound.ts'

/** Adds up the bounds of a batch's requests, one by one: it is held whole, since each of them has its own limit. */
export class BatchBound {
  #nanoUsd = 0
  #tokens = 0
  #requests = 0
  #unboundedBy: string | undefined

  add(bound: CallBound): void {
    this.#nanoUsd = Math.min(Number.MAX_SAFE_INTEGER, this.#nanoUsd + bound.amount('usd', bound.outputTokens))
    this.#tokens += bound.amount('tokens', bound.outputTokens)
    this.#requests += bound.amount('requests', bound.outputTokens)
    this.#unboundedBy ??= bound.unboundedBy
  }

  total(): CallBound {
    return new LinearBound({
      outputTokens: 0,
      leastOutputTokens: 0,
      clamp: undefined,
      fixedTokens: this.#tokens,
      fixedNanoUsd: this.#nanoUsd,
      outputRate: 0,
      outputTimes: 0,
      requests: this.#requests,
      tightness: 'loose',
      unboundedBy: this.#unboundedBy,
    })
  }
}
