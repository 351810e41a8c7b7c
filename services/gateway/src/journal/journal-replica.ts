import { open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@sluice/runtime'
import type { Position } from './epoch-reader.ts'
import { FencedError, type ReplicaSubject } from './replica-publisher.ts'
import { segmentPath } from './segment.ts'

export interface JournalReplicaOptions {
  subject: ReplicaSubject
  /** Number of the last message on the subject; 0: there is none. */
  last: number
  directory: string
  epoch: number
  /** A sibling has taken this journal over: nothing of this process counts any more. */
  onFenced: () => void
  log: Logger
  beatMs?: number
}

/** A server takes 1 MB in a message. */
const maxPieceBytes = 512 * 1024

/**
 * Copies what is synced of this run's segments to JetStream, byte for byte, and waits for its acknowledgement. One piece is on
 * its way at a time, each behind the one before: a sibling that has fenced the subject cannot be written past.
 */
export class JournalReplica {
  readonly #options: JournalReplicaOptions
  readonly #beats: NodeJS.Timeout
  #last: number
  /** Up to here everything is acknowledged. */
  #copied: Position = { segment: 1, offset: 0 }
  /** The first message of each segment that is still there. */
  readonly #firstOf = new Map<number, number>()
  #fenced = false
  #stopped = false
  #busy: Promise<unknown> = Promise.resolve()
  #turns = 0
  #wroteAtMs = performance.now()

  constructor(options: JournalReplicaOptions) {
    this.#options = options
    this.#last = options.last
    const beatMs = options.beatMs ?? 10_000
    this.#beats = setInterval(() => {
      // What is under way says it too, and does not end before JetStream answers.
      if (this.#turns === 0 && performance.now() - this.#wroteAtMs >= beatMs)
        this.#inTurn(() => this.#write({ kind: 'beat' })).catch(() => {})
    }, beatMs / 2)
  }

  /** Resolves when JetStream has everything up to `limit`: true; false: it never will. Tries for as long as it takes. */
  copyTo(limit: Position): Promise<boolean> {
    return this.#inTurn(async () => {
      while (this.#copied.segment < limit.segment || this.#copied.offset < limit.offset) {
        if (!(await this.#copyPiece(limit))) return false
      }
      return true
    })
  }

  /** Segments before this one are posted and deleted. */
  async forgetBefore(segment: number): Promise<void> {
    const first = this.#firstOf.get(segment)
    if (first === undefined || this.#fenced) return
    const old = [...this.#firstOf.keys()].filter(number => number < segment)
    if (old.length === 0) return
    await this.#options.subject.deleteBefore(first)
    for (const number of old) this.#firstOf.delete(number)
  }

  /** Everything of this gateway is published: the replica has served. */
  async end(): Promise<void> {
    await this.#inTurn(async () => {
      if (await this.#write({ kind: 'ended' })) await this.#options.subject.deleteBefore(this.#last)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#beats)
    await this.#busy
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    this.#turns++
    const turn = this.#busy.then(act).finally(() => {
      this.#turns--
    })
    this.#busy = turn.catch(() => {})
    return turn
  }

  async #copyPiece(limit: Position): Promise<boolean> {
    const { directory, epoch } = this.#options
    const { segment, offset } = this.#copied
    const end = segment === limit.segment ? limit.offset : Number.MAX_SAFE_INTEGER
    const bytes = await readBytes(segmentPath(directory, epoch, segment), offset, Math.min(maxPieceBytes, end - offset))
    if (bytes.length === 0) {
      // The whole of a segment that was left.
      this.#copied = { segment: segment + 1, offset: 0 }
      return true
    }
    if (!(await this.#write({ kind: 'bytes', epoch, segment, offset, bytes }))) return false
    if (!this.#firstOf.has(segment)) this.#firstOf.set(segment, this.#last)
    this.#copied = { segment, offset: offset + bytes.length }
    return true
  }

  /** Writes one message, as often as it takes. False: fenced, or stopped. */
  async #write(message: Parameters<ReplicaSubject['write']>[0]): Promise<boolean> {
    const { subject, onFenced, log } = this.#options
    for (let tries = 0; !this.#stopped && !this.#fenced; tries++) {
      try {
        // A piece that is sent and not answered stays in memory: no other one before JetStream answers again.
        if (tries > 0) await subject.readLast()
        this.#last = await subject.write(message, this.#last)
        this.#wroteAtMs = performance.now()
        return true
      } catch (err) {
        if (err instanceof FencedError) {
          if (await this.#findOurs(message)) return true
          if (this.#stopped) return false
          this.#fenced = true
          log.fatal({ err }, 'a sibling has taken this journal over: end this process, it takes no calls any more')
          onFenced()
          return false
        }
        if (tries % 20 === 0) log.warn({ err, tries }, 'journal not copied to JetStream, will be tried again')
        if (tries > 0) await delay(Math.min(50 * 2 ** tries, 1_000))
      }
    }
    return false
  }

  /** Whether the message in our way is the one that we wrote, and whose acknowledgement was lost: then we go on behind it. */
  async #findOurs(message: Parameters<ReplicaSubject['write']>[0]): Promise<boolean> {
    while (!this.#stopped) {
      try {
        const last = await this.#options.subject.readLast()
        if (!last || last.kind !== message.kind || last.kind === 'done' || last.kind === 'taken') return false
        if (last.kind === 'bytes' && message.kind === 'bytes') {
          const { epoch, segment, offset } = message
          if (last.epoch !== epoch || last.segment !== segment || last.offset !== offset) return false
        }
        this.#last = last.seq
        return true
      } catch {
        await delay(250)
      }
    }
    return false
  }
}

async function readBytes(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    // Deleted, since billing has posted it.
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (!file) return Buffer.alloc(0)
  try {
    const buffer = Buffer.allocUnsafe(length)
    const { bytesRead } = await file.read(buffer, 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
