/** In thousandths of a byte. Few languages have shorter tokens than the longest here: counted so, more is paid for than is used. */
const longest = 3_000
/** Shorter than a byte is none. */
const shortest = 1_000
/** What has said less tells little. */
const leastTokens = 200
const mostSpeakers = 1_000
/** Longer ones are believed that slowly, shorter ones by half at once. */
const slowness = 16

/** A model as one project has it: a provider of its own may tell what it likes of its tokens, and is believed there alone. */
export function speakerOf(projectId: string, model: string): string {
  return `${projectId} ${model}`
}

/** How long the tokens of each model are, as its streams that have ended tell: by it, what runs is counted while nobody tells its tokens. */
export class TokenLengths {
  readonly #bySpeaker = new Map<string, number>()

  /** Tokens that so many bytes of a speaker's text are, rounded up. */
  tokensIn(bytes: number, speaker: string): number {
    return Math.ceil((bytes * 1_000) / (this.#bySpeaker.get(speaker) ?? longest))
  }

  /** A stream has ended that has said so much, by its provider's own count. */
  learn(speaker: string, bytes: number, tokens: number): void {
    if (tokens < leastTokens || bytes === 0) return
    const known = this.#bySpeaker.get(speaker) ?? longest
    const found = Math.min(longest, Math.max(shortest, Math.floor((bytes * 1_000) / tokens)))
    const length = found < known ? Math.floor((known + found) / 2) : known + Math.ceil((found - known) / slowness)
    this.#bySpeaker.delete(speaker)
    if (length === longest) return
    if (this.#bySpeaker.size >= mostSpeakers)
      for (const first of this.#bySpeaker.keys()) {
        this.#bySpeaker.delete(first)
        break
      }
    this.#bySpeaker.set(speaker, length)
  }
}
