import { close, open, read } from 'node:fs'
import { promisify } from 'node:util'
import {
  type Frame,
  findFrame,
  findFrameEnd,
  frameOf,
  maxPayloadBytes,
  type NoFrame,
  type RecordType,
  typeOfFrame,
} from './record.ts'
import { segmentPath } from './segment.ts'

const openFile = promisify(open)
const closeFile = promisify(close)
const readBytes = promisify(read)

/** A place in an epoch's segments. */
export interface Position {
  segment: number
  offset: number
}

export interface EpochReaderOptions {
  directory: string
  epoch: number
  /** First segment that is still there. */
  from: number
  /** How far may be read now: what lies behind it is not synced, or not there. */
  limit: () => Position
  /** Frames that are still in memory and begin at a place: those of one sync, so they end before the limit or at it. */
  recent?: ((at: Position) => Buffer | undefined) | undefined
  /** The records that are asked for; absent: all. The others are stepped over. */
  only?: RecordType
  /** Told of bytes that are no record, in front of the limit. They are stepped over. */
  onDamage?: (at: Position, skippedBytes: number) => void
  chunkBytes?: number
}

/**
 * Reads an epoch's records in order, a chunk at a time: memory does not grow with what is still unread. Segments that were
 * deleted in the meantime are stepped over, since only what is posted is ever deleted.
 */
export class EpochReader {
  readonly #options: EpochReaderOptions
  readonly #chunkBytes: number
  #segment: number
  #offset = 0
  #fd: number | undefined
  #wantedBytes = 0

  constructor(options: EpochReaderOptions) {
    this.#options = options
    this.#chunkBytes = options.chunkBytes ?? 256 * 1024
    this.#segment = options.from
  }

  /** Behind the last record that was read. */
  get position(): Position {
    return { segment: this.#segment, offset: this.#offset }
  }

  /** The next records; none: there are no more for now. Their bytes are views into one chunk. */
  async next(): Promise<Frame[]> {
    for (;;) {
      const limit = this.#options.limit()
      const last = this.#segment >= limit.segment
      const available = last ? limit.offset - this.#offset : Number.MAX_SAFE_INTEGER
      if (this.#segment > limit.segment || available <= 0) return []
      const recent = this.#options.recent?.(this.position)
      if (recent) {
        this.#offset += recent.length
        const { frames } = framesOf(recent, { only: this.#options.only, isSound: true })
        if (frames.length > 0) return frames
        continue
      }
      if (this.#fd === undefined) {
        this.#fd = await this.#open()
        if (this.#fd === undefined) {
          if (last) return []
          this.#segment++
          this.#offset = 0
          continue
        }
      }
      const size = Math.min(available, Math.max(this.#chunkBytes, this.#wantedBytes))
      const chunk = Buffer.allocUnsafeSlow(size)
      const { bytesRead } = await readBytes(this.#fd, chunk, 0, size, this.#offset)
      const bytes = chunk.subarray(0, bytesRead)
      const { frames, end, next } = framesOf(bytes, this.#options)
      this.#offset += end
      this.#wantedBytes = 0
      if (frames.length > 0) return frames
      if (end > 0) continue

      const endOfFile = bytesRead < size
      if (next === 'incomplete' && !endOfFile && size < available) {
        this.#wantedBytes = size * 2
        continue
      }
      if (bytesRead > 0 && (await this.#stepOverDamage(limit, last, next === 'end'))) continue
      if (last) return []
      await this.#nextSegment()
    }
  }

  async close(): Promise<void> {
    if (this.#fd === undefined) return
    const fd = this.#fd
    this.#fd = undefined
    await closeFile(fd)
  }

  async #open(): Promise<number | undefined> {
    try {
      return await openFile(segmentPath(this.#options.directory, this.#options.epoch, this.#segment), 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async #nextSegment(): Promise<void> {
    await this.close()
    this.#segment++
    this.#offset = 0
  }

  /**
   * Finds the next record behind bytes that are none. False: there is none in this segment. In the last one these bytes are
   * then the torn end of what was being written; with a record behind them they are damage. `zeros`: they may be room that
   * was set aside, but a page that never reached the disk reads as zeros too.
   */
  async #stepOverDamage(limit: Position, last: boolean, zeros: boolean): Promise<boolean> {
    if (this.#fd === undefined) return false
    const at = this.position
    const behind = last ? limit.offset - at.offset : Number.MAX_SAFE_INTEGER
    const window = Buffer.allocUnsafeSlow(Math.min(2 * maxPayloadBytes, behind))
    for (let skipped = 1; ; skipped += maxPayloadBytes) {
      const room = Math.min(behind - skipped, window.length)
      if (room <= 0) return false
      const { bytesRead } = await readBytes(this.#fd, window, 0, room, at.offset + skipped)
      if (bytesRead === 0) {
        if (!zeros && !last) this.#options.onDamage?.(at, skipped)
        return false
      }
      const found = findFrame(window.subarray(0, bytesRead), 0)
      if (found === undefined) continue
      this.#options.onDamage?.(at, skipped + found)
      this.#offset = at.offset + skipped + found
      return true
    }
  }
}

/** The frames at the beginning of a buffer, those of `only` one type if so, and why there are no more. */
function framesOf(
  bytes: Buffer,
  { only, isSound }: { only?: RecordType | undefined; isSound?: boolean },
): { frames: Frame[]; end: number; next: NoFrame } {
  const frames: Frame[] = []
  let at = 0
  for (;;) {
    const end = findFrameEnd(bytes, at, isSound)
    if (typeof end !== 'number') return { frames, end: at, next: end }
    if (only === undefined || typeOfFrame(bytes, at) === only) frames.push(frameOf(bytes, at, end))
    at = end
  }
}
