import { parseJson } from './json-fields.ts'

const quote = 0x22
const backslash = 0x5c

/** Strings with more bytes than this are dropped: images and sound, which no usage is read from. */
const maxStringBytes = 1024
/** What is kept of a reply: beyond it, it counts as unreadable. */
const maxKeptBytes = 256 * 1024

/**
 * Reads JSON of any size in little memory: a long string reads as an empty one, the rest is kept. A reply of ten images
 * has forty megabytes of strings and one kilobyte of everything else.
 */
export class JsonSieve {
  #kept = Buffer.allocUnsafe(4096)
  #length = 0
  #overflow = false
  #inString = false
  /** The next byte stands behind a backslash. */
  #escaped = false
  #stringStart = 0
  #stringBytes = 0

  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let at = 0
    while (at < bytes.length) {
      if (this.#inString) at = this.#takeString(bytes, at)
      else {
        const opening = bytes.indexOf(quote, at)
        const end = opening < 0 ? bytes.length : opening + 1
        this.#keep(bytes, at, end)
        at = end
        if (opening < 0) continue
        this.#inString = true
        this.#stringStart = this.#length
        this.#stringBytes = 0
      }
    }
  }

  /** What was written so far, parsed; undefined where that is no whole JSON value. */
  value(): unknown {
    return this.#overflow ? undefined : parseJson(this.#kept.toString('utf8', 0, this.#length))
  }

  /** Takes bytes of a string up to its closing quote, that included. @returns the index behind them */
  #takeString(bytes: Buffer, start: number): number {
    const end = this.#stringEnd(bytes, start)
    const closes = !this.#inString
    this.#stringBytes += end - start
    if (this.#stringBytes > maxStringBytes) {
      this.#length = this.#stringStart
      if (closes) this.#keep(bytes, end - 1, end)
    } else this.#keep(bytes, start, end)
    return end
  }

  #stringEnd(bytes: Buffer, start: number): number {
    let from = start
    if (this.#escaped) {
      from += 1
      this.#escaped = false
    }
    for (;;) {
      const found = bytes.indexOf(quote, from)
      const limit = found < 0 ? bytes.length : found
      let slashes = 0
      while (limit - 1 - slashes >= from && bytes[limit - 1 - slashes] === backslash) slashes += 1
      const isEscaped = slashes % 2 === 1
      if (found < 0) {
        this.#escaped = isEscaped
        return bytes.length
      }
      if (!isEscaped) {
        this.#inString = false
        return found + 1
      }
      from = found + 1
    }
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const needed = this.#length + end - start
    if (this.#overflow || needed > maxKeptBytes) {
      this.#overflow = true
      return
    }
    if (needed > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#kept.length * 2))
      this.#kept.copy(grown, 0, 0, this.#length)
      this.#kept = grown
    }
    bytes.copy(this.#kept, this.#length, start, end)
    this.#length = needed
  }
}
