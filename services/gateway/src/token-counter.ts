import { createRequire } from 'node:module'

/** Of each second at most so much is spent on counting: an outage that breaks thousands of streams must not stop the others. */
const maxSpentMs = 20
/** Longer texts are told from a part of them. */
const maxTextLength = 4096

type CountTokens = (text: string, options: { disallowedSpecial: Set<string> }) => number

/**
 * Counts tokens of text whose provider told no number, by the vocabulary of OpenAI's current models. Loading it stops this
 * process for about 150 ms and takes 70 MB, once: {@link TokenCounter.load}, before the first call is let in, so that no
 * stream waits for it, or, of a counter that `loadsLate`, with the first text.
 */
export class TokenCounter {
  readonly #now: () => number
  readonly #load: () => CountTokens
  readonly #onText: (by: 'vocabulary' | 'bytes') => void
  readonly #loadsLate: boolean
  #countTokens: CountTokens | undefined
  #secondBegan = Number.NEGATIVE_INFINITY
  #spentMs = 0

  /** @param options.onText told of each text whether it was counted, or has to be told from its bytes */
  constructor(
    options: {
      now?: () => number
      load?: () => CountTokens
      loadsLate?: boolean
      onText?: (by: 'vocabulary' | 'bytes') => void
    } = {},
  ) {
    this.#now = options.now ?? (() => performance.now())
    this.#load = options.load ?? loadVocabulary
    this.#loadsLate = options.loadsLate ?? false
    this.#onText = options.onText ?? (() => undefined)
  }

  /** Loads the vocabulary, and counts once: the first time is the slowest. */
  load(): void {
    if (this.#countTokens) return
    this.#countTokens = this.#load()
    this.#countTokens('The first word.', { disallowedSpecial: new Set() })
  }

  /**
   * Tokens that `bytes` of text amount to, told from a sample of it, rounded up; undefined where the sample is empty,
   * this second's time is spent or the vocabulary is not loaded: then bytes have to do.
   */
  countBySample(bytes: number, sample: string): number | undefined {
    const text = sample.slice(0, maxTextLength).toWellFormed()
    const sampled = Buffer.byteLength(text)
    if (sampled === 0) return undefined
    const tokens = this.#count(text)
    this.#onText(tokens === undefined ? 'bytes' : 'vocabulary')
    return tokens === undefined ? undefined : Math.ceil((bytes * tokens) / sampled)
  }

  /** Tokens of all of a text; undefined where this second's time is spent or the vocabulary is not loaded. */
  countWhole(text: string): number | undefined {
    return this.#count(text.toWellFormed())
  }

  #count(text: string): number | undefined {
    if (this.#loadsLate) this.load()
    if (!this.#countTokens) return undefined
    const beganAt = this.#now()
    if (beganAt - this.#secondBegan >= 1000) {
      this.#secondBegan = beganAt
      this.#spentMs = 0
    }
    if (this.#spentMs >= maxSpentMs) return undefined
    // Words that steer models are text like any other here.
    const tokens = this.#countTokens(text, { disallowedSpecial: new Set() })
    this.#spentMs += this.#now() - beganAt
    return tokens
  }
}

/** Of OpenAI's current models. */
export function loadVocabulary(): CountTokens {
  const vocabulary = createRequire(import.meta.url)('gpt-tokenizer/encoding/o200k_base') as { countTokens: CountTokens }
  return vocabulary.countTokens
}
