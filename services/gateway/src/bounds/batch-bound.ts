import type { CallBound } from './call-bound.ts'
import { LinearBound } from './linear-bound.ts'

/** What those requests of a batch that are for one model can use. */
export interface ModelSum {
  /** Undefined: they may be for any. */
  model: string | undefined
  nanoUsd: number
  tokens: number
  requests: number
  unboundedBy: string | undefined
}

/**
 * Adds up the bounds of a batch's requests, one by one: it is held whole, since each of them has its own limit; and of each budget
 * that counts some models alone, what theirs can use.
 */
export class BatchBound {
  readonly #sums: Map<string | undefined, ModelSum>

  constructor(sums: readonly ModelSum[] = []) {
    this.#sums = new Map(sums.map(sum => [sum.model, { ...sum }]))
  }

  get sums(): readonly Readonly<ModelSum>[] {
    return [...this.#sums.values()]
  }

  add(model: string, bound: CallBound): void {
    const sum = this.#sumOf(model)
    sum.nanoUsd = Math.min(Number.MAX_SAFE_INTEGER, sum.nanoUsd + bound.amount('usd', bound.outputTokens))
    sum.tokens += bound.amount('tokens', bound.outputTokens)
    sum.requests += bound.amount('requests', bound.outputTokens)
    sum.unboundedBy ??= bound.unboundedBy
  }

  /** A request that cannot be looked into: it holds nothing, so no batch may go with it. @param why with where it stands */
  addUnbounded(why: string): void {
    const sum = this.#sumOf(undefined)
    sum.requests++
    sum.unboundedBy ??= why
  }

  /** Of the requests for these models; of all: undefined. The creation is a request, too. */
  within(models?: readonly string[]): CallBound {
    let [nanoUsd, tokens, requests] = [0, 0, 1]
    let unboundedBy: string | undefined
    for (const sum of this.#sums.values()) {
      if (models && sum.model !== undefined && !models.includes(sum.model)) continue
      nanoUsd = Math.min(Number.MAX_SAFE_INTEGER, nanoUsd + sum.nanoUsd)
      tokens += sum.tokens
      requests += sum.requests
      unboundedBy ??= sum.unboundedBy
    }
    return new LinearBound({
      outputTokens: 0,
      leastOutputTokens: 0,
      clamp: undefined,
      fixedTokens: tokens,
      fixedNanoUsd: nanoUsd,
      outputRate: 0,
      outputTimes: 0,
      requests,
      tightness: 'loose',
      unboundedBy,
    })
  }

  #sumOf(model: string | undefined): ModelSum {
    const known = this.#sums.get(model)
    if (known) return known
    const sum: ModelSum = { model, nanoUsd: 0, tokens: 0, requests: 0, unboundedBy: undefined }
    this.#sums.set(model, sum)
    return sum
  }
}
