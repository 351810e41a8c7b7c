const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Bytes of one event beyond which it is no longer kept, only passed: nothing a provider needs for usage is as large. */
const maxEventBytes = 32 * 1024 * 1024

/**
 * Cuts a stream of bytes into server-sent events, whatever the borders of its chunks. Lines end in LF or CRLF. A chunk
 * that begins and ends on event borders is never copied.
 */
export class SseFramer {
  #carry: Buffer = Buffer.alloc(0)
  #length = 0
  /** Where the line under way begins in the carry; -1: it has bytes that were not kept. */
  #lineStart = 0
  #skipping = false

  /** False while the bytes so far end inside an event. */
  get atEventBoundary(): boolean {
    return this.#length === 0 && !this.#skipping
  }

  /** The bytes of the event under way. Valid until the next `push`. */
  get partial(): Buffer {
    return this.#carry.subarray(0, this.#length)
  }

  /**
   * Takes the next bytes and calls `onEvent` for each event that ends in them; `end` is the index in the chunk behind the
   * event. Returns the index behind the last one, 0 where none ends.
   */
  push(chunk: Uint8Array, onEvent: (event: Buffer, end: number) => void): number {
    let bytes: Buffer
    const base = this.#length
    if (base === 0) bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    else {
      this.#append(chunk)
      bytes = this.#carry.subarray(0, this.#length)
    }
    let lineStart = this.#lineStart
    let eventStart = 0
    let last = 0
    for (let feed = bytes.indexOf(lineFeed, base); feed !== -1; feed = bytes.indexOf(lineFeed, feed + 1)) {
      const isEmpty =
        feed === lineStart || (feed === lineStart + 1 && bytes[lineStart] === carriageReturn && lineStart >= 0)
      lineStart = feed + 1
      if (!isEmpty) continue
      last = lineStart - base
      if (this.#skipping) this.#skipping = false
      else onEvent(bytes.subarray(eventStart, lineStart), last)
      eventStart = lineStart
    }
    this.#keep(bytes, eventStart, lineStart)
    return last
  }

  /** Where in the chunk, which is not taken, the event under way would end: the index behind it, 0 where it does not. */
  eventEndIn(chunk: Uint8Array): number {
    let isEmpty = this.#lineStart === this.#length && !(this.#skipping && this.#lineStart !== 0)
    const oneByte = this.#length - this.#lineStart === 1 && this.#carry[this.#lineStart] === carriageReturn
    isEmpty ||= oneByte
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]
      if (byte === lineFeed) {
        if (isEmpty) return at + 1
        isEmpty = true
      } else if (byte !== carriageReturn) isEmpty = false
    }
    return 0
  }

  #keep(bytes: Buffer, eventStart: number, lineStart: number): void {
    const rest = bytes.length - eventStart
    if (this.#skipping || rest > maxEventBytes) {
      this.#skipping = true
      this.#lineStart = lineStart < bytes.length ? -1 : 0
      this.#length = 0
      return
    }
    this.#lineStart = lineStart - eventStart
    if (rest === 0) {
      this.#length = 0
      return
    }
    if (bytes.buffer === this.#carry.buffer && bytes.byteOffset === this.#carry.byteOffset) {
      if (eventStart > 0) this.#carry.copyWithin(0, eventStart, bytes.length)
      this.#length = rest
      return
    }
    this.#length = 0
    this.#append(bytes.subarray(eventStart))
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length
    if (needed > this.#carry.length) {
      // Its own memory, not a slice of the pool: `#keep` tells carry and chunk apart by it.
      const grown = Buffer.allocUnsafeSlow(Math.max(4096, needed, this.#carry.length * 2))
      this.#carry.copy(grown, 0, 0, this.#length)
      this.#carry = grown
    }
    this.#carry.set(chunk, this.#length)
    this.#length = needed
  }
}

/** The `data` of an event as text, its lines joined; undefined where the event has none (comments). */
export function sseData(event: Buffer): string | undefined {
  let data: string | undefined
  let start = 0
  while (start < event.length) {
    let feed = event.indexOf(lineFeed, start)
    if (feed === -1) feed = event.length
    // d a t a :
    if (
      event[start] === 0x64 &&
      event[start + 1] === 0x61 &&
      event[start + 2] === 0x74 &&
      event[start + 3] === 0x61 &&
      event[start + 4] === 0x3a
    ) {
      const from = event[start + 5] === 0x20 ? start + 6 : start + 5
      const to = event[feed - 1] === carriageReturn ? feed - 1 : feed
      const line = event.toString('utf8', from, Math.max(from, to))
      data = data === undefined ? line : `${data}\n${line}`
    }
    start = feed + 1
  }
  return data
}
