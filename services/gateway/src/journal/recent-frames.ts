import type { Position } from './epoch-reader.ts'

/** What one sync has covered. */
interface SyncedFrames {
  segment: number
  offset: number
  bytes: Buffer
}

const maxBytes = 8 * 1024 * 1024

/**
 * The frames of the last syncs, in memory, by where they stand in the segments. A reader that keeps up finds everything here
 * and reads no file; one that does not finds nothing, and reads the files.
 */
export class RecentFrames {
  #runs: SyncedFrames[] = []
  #bytes = 0

  /** @param end behind the last of the frames */
  add(end: Position, frames: readonly Buffer[]): void {
    let offset = end.offset
    for (const bytes of frames) offset -= bytes.length
    for (const bytes of frames) {
      this.#runs.push({ segment: end.segment, offset, bytes })
      this.#bytes += bytes.length
      offset += bytes.length
    }
    while (this.#bytes > maxBytes) this.#drop()
  }

  /** Takes out the frames that begin at a place; those before it are not asked for again. */
  take(at: Position): Buffer | undefined {
    for (let run = this.#runs[0]; run; run = this.#runs[0]) {
      if (run.segment > at.segment || (run.segment === at.segment && run.offset > at.offset)) return undefined
      this.#drop()
      if (run.segment === at.segment && run.offset === at.offset) return run.bytes
    }
    return undefined
  }

  #drop(): void {
    this.#bytes -= this.#runs.shift()?.bytes.length ?? 0
  }
}
