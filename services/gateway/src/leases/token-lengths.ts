/** In thousandths of a byte. Few languages have shorter tokens than the longest here: counted so, more is paid for than is used. */
const longest = 3_000
/** Shorter than a byte is none. */
const shortest = 1_000
/** What has said less tells little. */
const leastTokens = 200
const mostModels = 1_000
/** Longer ones are believed that slowly, shorter ones by half at once. */
const slowness = 16

/** How long the tokens of each model are, as its streams that have ended tell: by it, what runs is counted while nobody tells its tokens. */
export class TokenLengths {
  readonly #byModel = new Map<string, number>()

  /** Tokens that so many bytes of a model's text are, rounded up. */
  tokensIn(bytes: number, model: string): number {
    return Math.ceil((bytes * 1_000) / (this.#byModel.get(model) ?? longest))
  }

  /** A stream has ended that has said so much, by its provider's own count. */
  learn(model: string, bytes: number, tokens: number): void {
    if (tokens < leastTokens || bytes === 0) return
    const known = this.#byModel.get(model) ?? longest
    const found = Math.min(longest, Math.max(shortest, Math.floor((bytes * 1_000) / tokens)))
    const length = found < known ? Math.floor((known + found) / 2) : known + Math.ceil((found - known) / slowness)
    this.#byModel.delete(model)
    if (length === longest) return
    if (this.#byModel.size >= mostModels)
      for (const first of this.#byModel.keys()) {
        this.#byModel.delete(first)
        break
      }
    this.#byModel.set(model, length)
  }
}
