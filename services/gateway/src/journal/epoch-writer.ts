import { closeSync, fdatasyncSync, fsync, ftruncateSync, openSync, rmSync, statfsSync } from 'node:fs'
import { promisify } from 'node:util'
import { type LeaseTotals, PARTITIONS } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { CopyBehind } from './copy-behind.ts'
import type { Position } from './epoch-reader.ts'
import { GroupSync } from './group-sync.ts'
import type { HeaderRecord } from './open-record.ts'
import { RecentFrames } from './recent-frames.ts'
import { encodeFrames, type RecordText, recordType } from './record.ts'
import {
  createReserve,
  createReserveInPieces,
  createSegment,
  dropReserve,
  nodeIo,
  type Reserve,
  removeReserve,
  type SegmentIo,
  useReserve,
  type WritableSegment,
  writeRecord,
} from './segment.ts'
import type { TurnRecord } from './turn-batch.ts'
import { UnsyncedFrames } from './unsynced-frames.ts'
import { type Wait, WaitingWrites } from './waiting-writes.ts'

/**
 * `full`: the disk has no room. `failed`: it refuses writes or syncs. `behind`: what is synced waits for its copy, and that is
 * late. In all of them running calls settle and no new one begins.
 */
export type JournalState = 'ok' | 'full' | 'failed' | 'behind'

export interface EpochWriterOptions {
  directory: string
  gatewayId: string
  epoch: number
  log: Logger
  now?: () => number
  /**
   * Every lease that its home has not closed yet: written in each segment but the first, in a turn of its own. What an attempt
   * settles is in these totals in the turn of its CLOSE: not before, not behind it.
   */
  listLeases?: () => readonly LeaseTotals[]
  segmentBytes?: number
  reserveBytes?: number
  syncIntervalMs?: number
  /** How often a full or failed disk is tried again. */
  recoveryIntervalMs?: number
  io?: SegmentIo
  /** What is synced must be copied too before it is secured. Resolves to false where it never will be. */
  copy?: ((upTo: Position) => Promise<boolean>) | undefined
  /** How long it may wait for that until no new call is taken. */
  copyLateMs?: number | undefined
}

/** A segment of the run, from its first record until it is deleted. */
export interface SegmentState {
  readonly number: number
  readonly path: string
  /** Attempts whose OPEN stands here and whose CLOSE is not written. */
  open: number
  /** The last number of each partition when the segment was left. */
  last: number[]
  /** Its LEASE records are secured: what leases have come to before it stands here. */
  hasLeases: boolean
}

/** A record that must not be lost: an event with its number. */
export interface NumberedRecord {
  text: RecordText
  partition: number
  seq: number
}

const fsyncFile = promisify(fsync)

/**
 * Takes the records of a run to the disk, whatever the disk does: to the system with one write (they survive a killed
 * process at once) and to the disk by a group sync at most `syncIntervalMs` later (then they survive a power cut, and only
 * then are they published).
 *
 * A segment is left with nothing in it but what is synced, so a power cut can tear nothing but the end of the last one.
 * When the disk is full, CLOSEs overwrite a reserve in place; when that is full too, they wait in memory. When a sync fails,
 * the system may have dropped what was written since the last one: it is written again to another file, never synced again.
 */
export class EpochWriter {
  /** Called when more is secured: more can be read. */
  onSecured: () => void = () => {}
  /** Called when the state changes. */
  onState: (state: JournalState) => void = () => {}
  readonly #options: Required<Omit<EpochWriterOptions, 'copy' | 'copyLateMs'>>
  readonly #sync: GroupSync
  readonly #copyBehind: CopyBehind | undefined
  readonly #unsynced = new UnsyncedFrames()
  readonly #recent = new RecentFrames()
  /** The last number of each partition that is in a file. */
  readonly #lastWritten: number[] = Array(PARTITIONS).fill(0)
  /** Of the disk. */
  #diskState: JournalState = 'failed'
  #segments: SegmentState[] = []
  #segmentNumber = 0
  #active: WritableSegment | undefined
  #reserve: Reserve | undefined
  /** Events that have no file to go to. */
  #homeless: NumberedRecord[] = []
  /** Frames whose sync failed and which are in no other file yet. */
  #toRewrite: Buffer[] = []
  /** How far everything is on the disk, and copied where it has to be. */
  #secured: Position = { segment: 1, offset: 0 }
  #newNames = false
  #leasesDue: NodeJS.Immediate | undefined
  /** LEASE records that are not secured yet: of which segment, and where they end. */
  #leases: { segment: SegmentState; end: number } | undefined
  /** From which size on the active segment is left: what it began with does not count. */
  #fullBytes = 0
  #recoveryTimer: NodeJS.Timeout | undefined
  /** A new reserve is under way. */
  #making: Promise<void> | undefined
  #stopped = false
  #writes = 0
  #securedWrites = 0
  readonly #waiting = new WaitingWrites()

  constructor(options: EpochWriterOptions) {
    this.#options = {
      ...options,
      now: options.now ?? Date.now,
      listLeases: options.listLeases ?? (() => []),
      segmentBytes: options.segmentBytes ?? 16 * 1024 * 1024,
      reserveBytes: options.reserveBytes ?? 16 * 1024 * 1024,
      syncIntervalMs: options.syncIntervalMs ?? 10,
      recoveryIntervalMs: options.recoveryIntervalMs ?? 250,
      io: options.io ?? nodeIo,
    }
    const { copy, log } = options
    this.#copyBehind =
      copy &&
      new CopyBehind({
        copy,
        onCopied: (upTo, writes) => this.#advanceSecured(upTo, writes),
        onLate: isLate => this.#onCopyLate(isLate),
        lateMs: options.copyLateMs ?? 5_000,
        log,
      })
    this.#sync = new GroupSync(() => this.#syncActive(), this.#options.syncIntervalMs)
    this.#start()
  }

  /** How long the disk has been at the sync under way; 0: at none. */
  get syncingForMs(): number {
    return this.#sync.runningForMs
  }

  get state(): JournalState {
    return this.#diskState === 'ok' && this.#copyBehind?.isLate ? 'behind' : this.#diskState
  }

  /** The disk takes more than what must not be lost. */
  get hasRoom(): boolean {
    return this.#diskState === 'ok'
  }

  /** Where records are written now. */
  get segment(): SegmentState | undefined {
    return this.#segments.at(-1)
  }

  /** Something waits in memory for a file. */
  get hasHomeless(): boolean {
    return this.#homeless.length > 0 || this.#toRewrite.length > 0
  }

  /** How far the files can be read: what an fdatasync covers, and the copy where there is one. */
  readonly readLimit = (): Position => this.#secured

  /** What was synced last, so that its reader need not go to the files. */
  get recent(): RecentFrames {
    return this.#recent
  }

  /** Writes a record to the system. @throws where the disk refuses it, which `state` then says */
  write(record: RecordText): void {
    try {
      this.#write(record)
    } catch (error) {
      this.#degrade(error)
      throw error
    }
  }

  /**
   * Writes records with as few writes as they take, usually one.
   * @returns how many the system has; what follows is in no file, and is to be written by {@link write} or {@link keep}
   */
  writeTogether(records: readonly TurnRecord[]): number {
    const active = this.#active
    if (!active || this.hasHomeless) return 0
    let done = 0
    while (done < records.length) {
      const { buffer, start, end, next } = this.#unsynced.encodeRun(records, done)
      try {
        writeRecord(active, this.#options.io, buffer, start, end)
      } catch {
        this.#unsynced.retract(start)
        break
      }
      this.#writes += next - done
      for (; done < next; done++) {
        const numbered = records[done]?.numbered
        if (numbered) this.#lastWritten[numbered.partition] = numbered.seq
      }
    }
    if (done > 0) this.#sync.soon()
    return done
  }

  /** Writes an event, to the reserve or to memory if it must be. Never throws for the disk's sake. */
  keep(record: NumberedRecord): void {
    // Numbers stand in the file in their order: one that has no place holds back the next.
    if (!this.hasHomeless) {
      for (let tries = 0; tries < 2 && this.#active; tries++) {
        try {
          this.#write(record.text)
          this.#lastWritten[record.partition] = record.seq
          return
        } catch (error) {
          this.#degrade(error)
        }
      }
    }
    this.#homeless.push(record)
  }

  /** Syncs at the end of this turn of the loop. */
  syncNow(): void {
    this.#sync.now()
  }

  /** Waits until everything written so far is on the disk, and copied where it has to be. */
  secured(): Wait {
    if (this.#securedWrites >= this.#writes && !this.hasHomeless) return { done: Promise.resolve(), giveUp: () => {} }
    const wait = this.#waiting.wait(this.#writes)
    this.#sync.now()
    return wait
  }

  /** Those who wait for {@link secured}. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Ends timers and closes files. What is synced stays readable. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#recoveryTimer)
    clearImmediate(this.#leasesDue)
    this.#copyBehind?.stop()
    await Promise.all([this.#sync.stop(), this.#making])
    if (this.#active) closeSync(this.#active.fd)
    this.#active = undefined
    if (this.#reserve) closeSync(this.#reserve.fd)
    this.#reserve = undefined
    removeReserve(this.#options.directory)
  }

  /**
   * Deletes the oldest segments whose events are all posted. In order only: an OPEN must not outlive its CLOSE.
   * `contiguous(p)`: every number of partition p up to it is posted.
   */
  deletePosted(contiguous: (partition: number) => number): void {
    // The OPEN of an event that is in memory alone is all that a kill would leave of it.
    if (this.hasHomeless) return
    for (;;) {
      const oldest = this.#segments[0]
      if (!oldest || this.#segments.length < 2 || oldest.open > 0) return
      if (oldest.last.some((last, partition) => last > contiguous(partition))) return
      // A later segment names every lease that was not answered when it was left, with totals that count all of its CLOSEs. What
      // is not named there was done and answered: its home has these totals, and the hello of this run leaves them as they are.
      if (!this.#segments.some(later => later.number > oldest.number && later.hasLeases)) return
      if (!this.#remove(oldest.path)) return
      this.#segments.shift()
    }
  }

  #write(record: RecordText): void {
    const active = this.#active
    if (!active) throw new Error('no segment')
    const frame = this.#unsynced.encode(record)
    try {
      writeRecord(active, this.#options.io, frame.buffer, frame.start, frame.end)
    } catch (error) {
      this.#unsynced.retract(frame.start)
      throw error
    }
    this.#writes++
    this.#sync.soon()
  }

  /** A write has failed: go on in the reserve, and try for a normal segment from now on. */
  #degrade(error: unknown): void {
    this.#setState(stateFor(error), error)
    if (this.#reserve && this.#leaveActive()) this.#enterReserve()
  }

  #enterReserve(): void {
    const reserve = this.#reserve
    if (!reserve) return
    this.#reserve = undefined
    try {
      this.#enter(useReserve(reserve, this.#options.directory, this.#options.epoch, this.#segmentNumber + 1))
    } catch (err) {
      this.#options.log.error({ err }, 'journal reserve cannot be used')
    }
  }

  /** Syncs all of the active segment, so that the next may begin. False: the sync failed, which was dealt with. */
  #leaveActive(): boolean {
    const active = this.#active
    if (!active) return true
    try {
      fdatasyncSync(active.fd)
    } catch (error) {
      this.#syncFailed(error, active, [])
      return false
    }
    this.#unsynced.take()
    this.#onSynced({ segment: active.number, offset: active.size }, this.#writes)
    this.#seal(active)
    return true
  }

  #seal(active: WritableSegment): void {
    this.#active = undefined
    const state = this.#segments.at(-1)
    if (state) state.last = [...this.#lastWritten]
    try {
      // Off with what a failed write left, and with what a reserve still has behind its records.
      ftruncateSync(active.fd, active.size)
    } catch (err) {
      this.#options.log.warn({ err }, 'segment not cut to its records')
    }
    // A sync under way still uses the descriptor.
    const syncing = this.#sync.running
    if (syncing) void syncing.finally(() => closeSync(active.fd))
    else closeSync(active.fd)
  }

  /** Makes a segment the active one and writes its head. @throws the system's error, without an active segment */
  #enter(segment: WritableSegment): void {
    this.#active = segment
    try {
      this.#write(this.#headOf(segment))
    } catch (error) {
      this.#discard(segment)
      throw error
    }
    this.#begin(segment)
  }

  /** What each segment begins with. */
  #headOf(segment: WritableSegment): RecordText {
    const { gatewayId, epoch, now } = this.#options
    const header: HeaderRecord = {
      format: 2,
      gateway_id: gatewayId,
      epoch,
      segment: segment.number,
      last: this.#lastWritten,
      created_at_ms: now(),
    }
    return { type: recordType.header, json: JSON.stringify(header) }
  }

  /**
   * Behind all that was written when the segment began: totals that count a CLOSE never stand in front of it. Torn between them,
   * its attempt would be settled once more, on top of what it has settled.
   */
  #writeLeases(): void {
    this.#leasesDue = undefined
    const records = this.#options.listLeases().map(lease => ({ type: recordType.lease, json: JSON.stringify(lease) }))
    const active = this.#active
    const segment = this.#segments.at(-1)
    // A CLOSE in memory alone stands behind them. It is written in the next segment, which is already due or begins on recovery.
    if (this.#leasesDue || this.hasHomeless || !active || !segment) return
    const begin = active.size
    if (records.length > 0 && this.writeTogether(records) < records.length) return
    this.#fullBytes += active.size - begin
    this.#leases = { segment, end: active.size }
  }

  #begin(segment: WritableSegment): void {
    this.#active = segment
    this.#newNames = true
    this.#segmentNumber = segment.number
    this.#fullBytes = this.#options.segmentBytes
    const { number, path } = segment
    this.#segments.push({ number, path, open: 0, last: [...this.#lastWritten], hasLeases: false })
    // No lease is older than the first.
    if (number > 1) this.#leasesDue ??= setImmediate(() => this.#writeLeases())
  }

  /** Undoes {@link #enter}: the segment holds nothing but its head, or what is kept to be written again. */
  #discard(segment: WritableSegment): void {
    this.#active = undefined
    this.#unsynced.take()
    if (this.#segments.at(-1)?.number === segment.number) this.#segments.pop()
    closeSync(segment.fd)
    this.#remove(segment.path)
  }

  /** False: the disk refuses it, which is no reason to end. */
  #remove(path: string): boolean {
    try {
      rmSync(path, { force: true })
      return true
    } catch (err) {
      this.#options.log.warn({ err }, 'segment not deleted')
      return false
    }
  }

  /** The first segment, at once: no call runs yet. */
  #start(): void {
    const { directory, reserveBytes, io } = this.#options
    try {
      requireRoom(directory, reserveBytes)
      this.#reserve = createReserve(directory, io, reserveBytes)
    } catch (error) {
      this.#setState(stateFor(error), error)
      return
    }
    this.#recover()
  }

  /** Recovers when there is a reserve again. */
  async #makeReserve(): Promise<void> {
    const { directory, reserveBytes, io } = this.#options
    try {
      requireRoom(directory, reserveBytes)
      const reserve = await createReserveInPieces(directory, io, reserveBytes)
      if (this.#stopped) return dropReserve(reserve)
      this.#reserve = reserve
    } catch (error) {
      if (!this.#stopped) this.#setState(stateFor(error), error)
      return
    }
    this.#recover()
  }

  /**
   * Opens a normal segment with a whole reserve behind it, writes what has waited, and proves the disk by a sync.
   *
   * NOTE Its syncs, and that of {@link #leaveActive}, hold up the loop: the state in between, with a segment that is neither
   * left nor in use, would be one more for every write to deal with. They cover what was written in some 10 ms and what has
   * waited (0.4 ms, now and then 30, for 300 kB on an SSD), once for each time that a disk breaks or comes back.
   */
  #recover(): void {
    if (!this.#reserve) {
      this.#making ??= this.#makeReserve().finally(() => {
        this.#making = undefined
      })
      return
    }
    try {
      const { directory, epoch, io } = this.#options
      if (!this.#leaveActive()) return
      const segment = createSegment(directory, epoch, this.#segmentNumber + 1)
      this.#enter(segment)
      try {
        for (const frames of this.#toRewrite) writeRecord(segment, io, frames, 0, frames.length)
        fdatasyncSync(segment.fd)
      } catch (error) {
        this.#discard(segment)
        throw error
      }
      this.#toRewrite = []
      // All of the segment is synced: what is taken next begins where it ends now.
      this.#unsynced.take()
      clearInterval(this.#recoveryTimer)
      this.#recoveryTimer = undefined
      this.#setState('ok')
      this.#writeHomeless()
    } catch (error) {
      this.#setState(stateFor(error), error)
      // Without a segment, what closes now would be in memory only.
      if (!this.#active && this.#toRewrite.length === 0) this.#enterReserve()
    }
  }

  #writeHomeless(): void {
    const waiting = this.#homeless
    this.#homeless = []
    for (const record of waiting) this.keep(record)
    this.#waiting.postpone(this.#writes)
  }

  #setState(state: JournalState, err?: unknown): void {
    if (state !== 'ok' && !this.#stopped)
      this.#recoveryTimer ??= setInterval(() => this.#recover(), this.#options.recoveryIntervalMs)
    if (state === this.#diskState) return
    this.#diskState = state
    const { gatewayId, epoch, log } = this.#options
    if (state === 'ok') log.info({ gatewayId, epoch }, 'journal takes records')
    else log.error({ err, state }, 'journal takes no new calls')
    this.onState(this.state)
  }

  #onCopyLate(isLate: boolean): void {
    const { gatewayId, epoch, log } = this.#options
    if (isLate) log.error({ state: this.state }, 'journal is not copied in time: it takes no new calls')
    else log.info({ gatewayId, epoch }, 'journal is copied again')
    if (this.#diskState === 'ok') this.onState(this.state)
  }

  async #syncActive(): Promise<void> {
    const active = this.#active
    if (!active) return
    const { io, directory } = this.#options
    const frames = this.#unsynced.take()
    const upTo = { segment: active.number, offset: active.size }
    const writes = this.#writes
    try {
      await io.fdatasync(active.fd)
      if (this.#newNames) {
        this.#newNames = false
        await syncNames(directory)
      }
    } catch (error) {
      this.#syncFailed(error, active, frames)
      return
    }
    this.#recent.add(upTo, frames)
    this.#onSynced(upTo, writes)
    if (this.#active === active && active.size >= this.#fullBytes && this.#diskState === 'ok')
      this.#rotate(active, upTo.offset)
  }

  /**
   * Goes on in the next segment without waiting for the disk: what was written since the last sync began is written once
   * more, behind the next one's head, so the segment that is left ends with what is synced. Killed in between, a record is
   * read twice and counts once.
   */
  #rotate(active: WritableSegment, syncedBytes: number): void {
    const { directory, epoch, io } = this.#options
    let next: WritableSegment | undefined
    try {
      next = createSegment(directory, epoch, this.#segmentNumber + 1)
      const head = encodeFrames([this.#headOf(next)])
      for (const frames of [head, ...this.#unsynced.frames()]) writeRecord(next, io, frames, 0, frames.length)
    } catch (error) {
      if (next) {
        closeSync(next.fd)
        this.#remove(next.path)
      }
      this.#degrade(error)
      return
    }
    active.size = syncedBytes
    this.#seal(active)
    this.#begin(next)
    this.#sync.soon()
  }

  /**
   * What was written since the last good sync goes to another file. This one keeps its bytes, since a killed process's
   * replay may still find them: a record that is read twice counts once.
   */
  #syncFailed(error: unknown, segment: WritableSegment, frames: readonly Buffer[]): void {
    this.#toRewrite.push(...frames)
    if (this.#active === segment) {
      this.#toRewrite.push(...this.#unsynced.take())
      this.#seal(segment)
    }
    this.#setState(stateFor(error), error)
    this.#recover()
  }

  #onSynced(upTo: Position, writes: number): void {
    if (this.#copyBehind) this.#copyBehind.add(upTo, writes)
    else this.#advanceSecured(upTo, writes)
  }

  #advanceSecured(upTo: Position, writes: number): void {
    const { segment, offset } = this.#secured
    if (upTo.segment > segment || (upTo.segment === segment && upTo.offset > offset)) this.#secured = upTo
    this.#securedWrites = Math.max(this.#securedWrites, writes)
    if (this.#leases && upTo.segment === this.#leases.segment.number && upTo.offset >= this.#leases.end) {
      this.#leases.segment.hasLeases = true
      this.#leases = undefined
    }
    if (!this.hasHomeless) this.#waiting.release(this.#securedWrites)
    this.onSecured()
  }
}

/** @throws ENOSPC where a segment and its reserve would not fit */
function requireRoom(directory: string, reserveBytes: number): void {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize < 2 * reserveBytes) throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
}

function stateFor(error: unknown): JournalState {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' ? 'full' : 'failed'
}

async function syncNames(directory: string): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    await fsyncFile(fd)
  } finally {
    closeSync(fd)
  }
}
