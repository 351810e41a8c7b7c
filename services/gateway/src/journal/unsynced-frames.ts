import { frameBound, type RecordText, writeFrame } from './record.ts'

/**
 * The frames that no fdatasync covers yet, in order. They are encoded here and written from here; where a sync fails, the
 * system may have dropped them from its cache, and they are written once more, to another file, from here.
 */
export class UnsyncedFrames {
  #chunk: Buffer
  /** Of `#chunk`: where the frames begin that were not taken, and where the next one goes. */
  #from = 0
  #used = 0
  /** Frames in full chunks, older than those in `#chunk`. */
  #older: Buffer[] = []
  readonly #chunkBytes: number

  constructor(chunkBytes = 256 * 1024) {
    this.#chunkBytes = chunkBytes
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes)
  }

  /** Encodes a frame. Valid until the frame is forgotten. */
  encode(record: RecordText): { buffer: Buffer; start: number; end: number } {
    const bound = frameBound(record)
    if (this.#used + bound > this.#chunk.length) {
      if (this.#used > this.#from) this.#older.push(this.#chunk.subarray(this.#from, this.#used))
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(bound, this.#chunkBytes))
      this.#from = 0
      this.#used = 0
    }
    const start = this.#used
    this.#used += writeFrame(this.#chunk, start, record)
    return { buffer: this.#chunk, start, end: this.#used }
  }

  /**
   * Encodes the records from `from` on that fit into one chunk, at least one, as one piece.
   * @returns the piece, and the index of the first record that is not in it
   */
  encodeRun(
    records: readonly RecordText[],
    from: number,
  ): { buffer: Buffer; start: number; end: number; next: number } {
    const first = records[from]
    if (!first) throw new Error('no record to encode')
    const { buffer, start } = this.encode(first)
    let next = from + 1
    for (let record = records[next]; record; record = records[++next]) {
      if (this.#used + frameBound(record) > buffer.length) break
      this.#used += writeFrame(buffer, this.#used, record)
    }
    return { buffer, start, end: this.#used, next }
  }

  /** Forgets the frames from `start` on, which were not written. */
  retract(start: number): void {
    this.#used = start
  }

  /** Every frame, in order. */
  frames(): Buffer[] {
    return this.#used > this.#from ? [...this.#older, this.#chunk.subarray(this.#from, this.#used)] : this.#older
  }

  /** Hands over every frame and begins anew, in memory of its own: what was handed over stays as it is. */
  take(): Buffer[] {
    const frames = this.frames()
    this.#older = []
    this.#from = this.#used
    return frames
  }
}
