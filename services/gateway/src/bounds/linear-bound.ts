import type { BudgetUnit, CallBound, Tightness } from './call-bound.ts'
import type { ClampPlace } from './output-limits.ts'

/** What a bound is made of: all but the output is fixed, and each token of output adds the same. */
export interface BoundTerms {
  outputTokens: number
  leastOutputTokens: number
  clamp: ClampPlace | undefined
  /** Input, and output that no limit holds for. */
  fixedTokens: number
  fixedNanoUsd: number
  /** Nano-USD for 10⁶ tokens of output. */
  outputRate: number
  /** So often each token of output may be charged: other models may answer first. */
  outputTimes: number
  requests: number
  tightness: Tightness
  unboundedBy: string | undefined
  /** What its reply begins with says all that it is charged for its input. */
  isInputTold?: boolean
}

const million = 1_000_000

/**
 * `tokens × rate / 10⁶`, rounded up. In two products, each of which is exact for every rate below $9,000 a token; what is no safe
 * integer is more than any budget has.
 */
export function costUp(tokens: number, rate: number): number {
  const rest = rate % million
  const cost = tokens * ((rate - rest) / million) + Math.ceil((tokens * rest) / million)
  return Math.min(cost, Number.MAX_SAFE_INTEGER)
}

/** A bound that grows with the output alone, in a straight line. */
export class LinearBound implements CallBound {
  readonly outputTokens: number
  readonly leastOutputTokens: number
  readonly clamp: ClampPlace | undefined
  readonly tightness: Tightness
  readonly unboundedBy: string | undefined
  readonly isInputTold: boolean
  readonly #terms: BoundTerms
  /** In nano-USD, with all of its output and with the least: each of its budgets asks for both. */
  #wholeUsd: number | undefined
  #leastUsd: number | undefined

  constructor(terms: BoundTerms) {
    this.outputTokens = terms.outputTokens
    this.leastOutputTokens = Math.min(terms.leastOutputTokens, terms.outputTokens)
    this.clamp = terms.clamp
    this.tightness = terms.tightness
    this.unboundedBy = terms.unboundedBy
    this.isInputTold = terms.isInputTold ?? false
    this.#terms = terms
  }

  get terms(): Readonly<BoundTerms> {
    return this.#terms
  }

  amount(unit: BudgetUnit, outputTokens: number): number {
    const { fixedTokens, outputTimes, requests } = this.#terms
    switch (unit) {
      case 'usd':
        return this.#nanoUsd(outputTokens)
      case 'tokens':
        return fixedTokens + outputTokens * outputTimes
      case 'requests':
        return requests
      case 'concurrent':
        return 1
    }
  }

  #nanoUsd(outputTokens: number): number {
    if (outputTokens === this.outputTokens) {
      this.#wholeUsd ??= this.#costUp(outputTokens)
      return this.#wholeUsd
    }
    if (outputTokens !== this.leastOutputTokens) return this.#costUp(outputTokens)
    this.#leastUsd ??= this.#costUp(outputTokens)
    return this.#leastUsd
  }

  #costUp(outputTokens: number): number {
    const { fixedNanoUsd, outputRate } = this.#terms
    return Math.min(Number.MAX_SAFE_INTEGER, fixedNanoUsd + costUp(outputTokens, outputRate))
  }

  withInput(tokens: number, nanoUsd: number): LinearBound {
    const { fixedTokens, fixedNanoUsd } = this.#terms
    return new LinearBound({
      ...this.#terms,
      fixedTokens: Math.min(fixedTokens, tokens),
      fixedNanoUsd: Math.min(fixedNanoUsd, nanoUsd),
    })
  }

  outputWithin(unit: BudgetUnit, amount: number): number {
    if (amount < this.amount(unit, 0)) return -1
    if (amount >= this.amount(unit, this.outputTokens)) return this.outputTokens
    // What is left is below what the whole output comes to: between the two, by halves.
    let fits = 0
    let fitsNot = this.outputTokens
    while (fitsNot - fits > 1) {
      const middle = Math.floor((fits + fitsNot) / 2)
      if (this.amount(unit, middle) <= amount) fits = middle
      else fitsNot = middle
    }
    return fits
  }
}
