const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Bytes of one event beyond which it is no longer kept, only passed: nothing a provider needs for usage is as large. */
const maxEventBytes = 32 * 1024 * 1024
/** Memory of a larger event goes with it; up to here it waits for the next. */
const maxIdleBytes = 64 * 1024
const nothing = Buffer.alloc(0)

/**
 * Cuts a stream of bytes into server-sent events, whatever the borders of its chunks. Lines end in LF or CRLF. A chunk
 * that begins and ends on event borders is never copied; of any other, the event that goes on in the next one.
 */
export class SseFramer {
  #carry: Buffer = nothing
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
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let last = 0
    if (this.#length > 0) {
      last = this.#complete(bytes)
      if (last === 0) return 0
      onEvent(this.partial, last)
      this.#clear()
    }
    let eventStart = last
    let lineStart = last === 0 ? this.#lineStart : last
    for (let feed = bytes.indexOf(lineFeed, last); feed !== -1; feed = bytes.indexOf(lineFeed, feed + 1)) {
      const isEmpty =
        feed === lineStart || (feed === lineStart + 1 && bytes[lineStart] === carriageReturn && lineStart >= 0)
      lineStart = feed + 1
      if (!isEmpty) continue
      last = lineStart
      if (this.#skipping) this.#skipping = false
      else onEvent(bytes.subarray(eventStart, lineStart), last)
      eventStart = lineStart
    }
    this.#keep(bytes.subarray(eventStart), lineStart - eventStart)
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

  /** Adds to the event under way what belongs to it, and no more: the index behind its end, 0 where it goes on. */
  #complete(bytes: Buffer): number {
    // Before the chunk begins where the line under way began before it.
    let lineStart = this.#lineStart - this.#length
    for (let feed = bytes.indexOf(lineFeed); feed !== -1; feed = bytes.indexOf(lineFeed, feed + 1)) {
      const first = lineStart < 0 ? this.#carry[this.#lineStart] : bytes[lineStart]
      const isEmpty = feed === lineStart || (feed === lineStart + 1 && first === carriageReturn)
      lineStart = feed + 1
      if (!isEmpty) continue
      this.#append(bytes.subarray(0, lineStart))
      return lineStart
    }
    this.#keep(bytes, lineStart)
    return 0
  }

  /** @param lineStart where in the bytes the line under way begins; negative: before them */
  #keep(bytes: Buffer, lineStart: number): void {
    if (this.#skipping || this.#length + bytes.length > maxEventBytes) {
      this.#skipping = true
      this.#clear()
      this.#lineStart = lineStart < bytes.length ? -1 : 0
      return
    }
    this.#lineStart = this.#length + lineStart
    if (bytes.length > 0) this.#append(bytes)
  }

  /** Of the event under way nothing is kept any more. */
  #clear(): void {
    this.#length = 0
    this.#lineStart = 0
    if (this.#carry.length > maxIdleBytes) this.#carry = nothing
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length
    if (needed > this.#carry.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(4096, needed, (this.#carry.length * 3) >>> 1))
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
