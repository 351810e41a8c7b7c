import type { CallBound } from './call-bound.ts'
import { LinearBound } from './linear-bound.ts'

/** What all requests of a batch can use. */
export interface BatchSum {
  nanoUsd: number
  tokens: number
  requests: number
  unboundedBy: string | undefined
}

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

  /** The creation is a request, too. */
  total(): CallBound {
    return BatchBound.of({
      nanoUsd: this.#nanoUsd,
      tokens: this.#tokens,
      requests: this.#requests + 1,
      unboundedBy: this.#unboundedBy,
    })
  }

  /** A sum that was made before. */
  static of(sum: BatchSum): CallBound {
    return new LinearBound({
      outputTokens: 0,
      leastOutputTokens: 0,
      clamp: undefined,
      fixedTokens: sum.tokens,
      fixedNanoUsd: sum.nanoUsd,
      outputRate: 0,
      outputTimes: 0,
      requests: sum.requests,
      tightness: 'loose',
      unboundedBy: sum.unboundedBy,
    })
  }

  /** Of a request that cannot be looked into: it holds nothing, so no batch may go with it. @param why with where it stands */
  static unbounded(why: string): CallBound {
    return BatchBound.of({ nanoUsd: 0, tokens: 0, requests: 1, unboundedBy: why })
  }
}
