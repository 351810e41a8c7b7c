/** Enough to tell how many bytes a token has, little enough for thousands of streams. */
const maxKeptBytes = 1024

/** The size of a text that comes in pieces, and its beginning. */
export class TextSample {
  bytes = 0
  /** How many there were that said something. */
  pieces = 0
  #kept: Buffer | undefined
  #length = 0
  #isFull = false

  add(text: string): void {
    const bytes = Buffer.byteLength(text)
    this.bytes += bytes
    if (bytes > 0) this.pieces++
    if (this.#isFull) return
    this.#kept ??= Buffer.allocUnsafeSlow(maxKeptBytes)
    // Whole characters only.
    const written = this.#kept.write(text, this.#length)
    this.#length += written
    this.#isFull = written < bytes
  }

  /** At most 1 kB, in whole characters. */
  get beginning(): string {
    return this.#kept?.toString('utf8', 0, this.#length) ?? ''
  }
}
