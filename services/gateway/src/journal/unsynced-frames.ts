import { frameBound, type RecordType, writeFrame } from './record.ts'

/**
 * The frames that no fdatasync covers yet, in order. They are encoded here and written from here; where a sync fails, the
 * system may have dropped them from its cache, and they are written once more, to another file, from here.
 */
export class UnsyncedFrames {
  #chunk: Buffer
  #used = 0
  /** Full chunks, older than `#chunk`. */
  #older: Buffer[] = []
  #spare: Buffer | undefined
  readonly #chunkBytes: number

  constructor(chunkBytes = 256 * 1024) {
    this.#chunkBytes = chunkBytes
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes)
  }

  /** Encodes a frame. Valid until the frame is forgotten. */
  encode(type: RecordType, json: string): { buffer: Buffer; start: number; end: number } {
    const bound = frameBound(json)
    if (this.#used + bound > this.#chunk.length) {
      if (this.#used > 0) this.#older.push(this.#chunk.subarray(0, this.#used))
      this.#chunk = bound <= this.#chunkBytes ? this.#takeChunk() : Buffer.allocUnsafeSlow(bound)
      this.#used = 0
    }
    const start = this.#used
    this.#used += writeFrame(this.#chunk, start, type, json)
    return { buffer: this.#chunk, start, end: this.#used }
  }

  /**
   * Encodes the records from `from` on that fit into one chunk, at least one, as one piece.
   * @returns the piece, and the index of the first record that is not in it
   */
  encodeRun(
    records: readonly { readonly type: RecordType; readonly json: string }[],
    from: number,
  ): { buffer: Buffer; start: number; end: number; next: number } {
    const first = records[from]
    if (!first) throw new Error('no record to encode')
    const { buffer, start } = this.encode(first.type, first.json)
    let next = from + 1
    for (let record = records[next]; record; record = records[++next]) {
      if (this.#used + frameBound(record.json) > buffer.length) break
      this.#used += writeFrame(buffer, this.#used, record.type, record.json)
    }
    return { buffer, start, end: this.#used, next }
  }

  /** Forgets the frames from `start` on, which were not written. */
  retract(start: number): void {
    this.#used = start
  }

  /** Every frame, as views that are good until the next call. */
  frames(): Buffer[] {
    return this.#used > 0 ? [...this.#older, this.#chunk.subarray(0, this.#used)] : this.#older
  }

  /** Hands over every frame and begins anew: what is now synced, and will be given back by {@link recycle} or kept. */
  take(): Buffer[] {
    const frames = this.frames()
    if (this.#used > 0) this.#chunk = this.#takeChunk()
    this.#older = []
    this.#used = 0
    return frames
  }

  /** Frames taken are synced: their memory serves again. */
  recycle(frames: readonly Buffer[]): void {
    const last = frames.at(-1)
    if (last && last.buffer.byteLength === this.#chunkBytes) this.#spare = Buffer.from(last.buffer)
  }

  #takeChunk(): Buffer {
    const chunk = this.#spare ?? Buffer.allocUnsafeSlow(this.#chunkBytes)
    this.#spare = undefined
    return chunk
  }
}
