import { closeSync, fdatasync, fdatasyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { promisify } from 'node:util'

/** A file of the journal: segments of an epoch are numbered from 1. */
export interface SegmentName {
  epoch: number
  number: number
  path: string
}

const namePattern = /^(\d{10})-(\d{10})\.journal$/
const digits = (value: number): string => String(value).padStart(10, '0')

export function segmentPath(directory: string, epoch: number, number: number): string {
  return join(directory, `${digits(epoch)}-${digits(number)}.journal`)
}

/** The segments of a directory, oldest first. */
export function listSegments(directory: string): SegmentName[] {
  const found: SegmentName[] = []
  for (const name of readdirSync(directory)) {
    const match = namePattern.exec(name)
    if (match) found.push({ epoch: Number(match[1]), number: Number(match[2]), path: join(directory, name) })
  }
  return found.sort((a, b) => a.epoch - b.epoch || a.number - b.number)
}

/** The two calls by which records reach the disk; tests let them fail. */
export interface SegmentIo {
  writeSync: (fd: number, buffer: Buffer, offset: number, length: number, position: number) => number
  fdatasync: (fd: number) => Promise<void>
}
export const nodeIo: SegmentIo = { writeSync, fdatasync: promisify(fdatasync) }

/** A segment open for writing. */
export interface WritableSegment {
  readonly number: number
  readonly path: string
  readonly fd: number
  /** Bytes of whole records. What a failed write leaves behind them is overwritten by the next. */
  size: number
}

/** Creates a segment. @throws where it exists, or the disk has no room for a name */
export function createSegment(directory: string, epoch: number, number: number): WritableSegment {
  const path = segmentPath(directory, epoch, number)
  return { number, path, fd: openSync(path, 'wx', 0o600), size: 0 }
}

/** Writes one record, whole or not at all. @throws the system's error; `size` then stands where it stood */
export function writeRecord(segment: WritableSegment, io: SegmentIo, buffer: Buffer, start: number, end: number): void {
  let at = start
  while (at < end) {
    // A disk that fills up writes a part and says so only at the next call.
    at += io.writeSync(segment.fd, buffer, at, end - at, segment.size + at - start)
  }
  segment.size += end - start
}

/** Room on the disk that is already ours: records overwrite it in place when nothing else can be allocated. */
export interface Reserve {
  readonly path: string
  readonly fd: number
}

const reserveName = 'reserve'
/** One piece of a reserve: a write of it takes a millisecond. */
const pieceBytes = 1024 * 1024

/** Sets room aside: real blocks, written and synced. @throws ENOSPC with nothing left behind */
export function createReserve(directory: string, io: SegmentIo, bytes: number): Reserve {
  const reserve = openReserve(directory)
  try {
    for (let at = 0; at < bytes; ) at += writePiece(reserve, io, at, bytes)
    fdatasyncSync(reserve.fd)
    return reserve
  } catch (error) {
    dropReserve(reserve)
    throw error
  }
}

/** The same beside running calls, which the whole would hold up for 20 ms: a piece in a turn of the loop, and its sync off it. */
export async function createReserveInPieces(directory: string, io: SegmentIo, bytes: number): Promise<Reserve> {
  const reserve = openReserve(directory)
  try {
    for (let at = 0; at < bytes; await nextTurn()) at += writePiece(reserve, io, at, bytes)
    await io.fdatasync(reserve.fd)
    return reserve
  } catch (error) {
    dropReserve(reserve)
    throw error
  }
}

function openReserve(directory: string): Reserve {
  const path = join(directory, reserveName)
  rmSync(path, { force: true })
  return { path, fd: openSync(path, 'wx', 0o600) }
}

const zeros = Buffer.alloc(pieceBytes)

function writePiece(reserve: Reserve, io: SegmentIo, at: number, bytes: number): number {
  return io.writeSync(reserve.fd, zeros, 0, Math.min(zeros.length, bytes - at), at)
}

/** Closes and deletes a reserve. */
export function dropReserve(reserve: Reserve): void {
  closeSync(reserve.fd)
  rmSync(reserve.path, { force: true })
}

/** Makes the reserve a segment of the epoch. Needs no room on the disk. */
export function useReserve(reserve: Reserve, directory: string, epoch: number, number: number): WritableSegment {
  const path = segmentPath(directory, epoch, number)
  renameSync(reserve.path, path)
  return { number, path, fd: reserve.fd, size: 0 }
}

/** Removes what {@link createReserve} made. */
export function removeReserve(directory: string): void {
  rmSync(join(directory, reserveName), { force: true })
}
