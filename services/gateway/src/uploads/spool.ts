import { randomUUID } from 'node:crypto'
import { createReadStream, openSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { BodyMemory } from '../read-request.ts'
import { Refusal } from '../refusal.ts'

/** Request bodies that are too large for memory, each in a file of its own until its call has ended. */
export class Spool {
  readonly #directory: string
  readonly #space: BodyMemory

  private constructor(directory: string, space: BodyMemory) {
    this.#directory = directory
    this.#space = space
  }

  /**
   * Opens a folder that only this process uses. What a process that died has left in it is deleted.
   * @param space for the bytes of all files together; beyond it uploads wait outside
   */
  static async open(directory: string, space: BodyMemory): Promise<Spool> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const name of await readdir(directory)) if (name.endsWith('.upload')) await rm(join(directory, name))
    return new Spool(directory, space)
  }

  /** A new, empty file. @throws Refusal 503 where the disk has no room */
  async create(): Promise<SpooledFile> {
    const path = join(this.#directory, `${randomUUID()}.upload`)
    return new SpooledFile(path, await open(path, 'wx', 0o600).catch(refuseRoom), this.#space)
  }
}

/** One body on disk. */
export class SpooledFile {
  readonly path: string
  readonly #handle: FileHandle
  readonly #space: BodyMemory
  #size = 0
  #writing = true
  #discarded = false

  constructor(path: string, handle: FileHandle, space: BodyMemory) {
    this.path = path
    this.#handle = handle
    this.#space = space
  }

  get size(): number {
    return this.#size
  }

  /** Appends bytes. @throws Refusal 503 where there is no room for them */
  async write(chunk: Buffer): Promise<void> {
    this.#space.take(chunk.length)
    this.#size += chunk.length
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, at, chunk.length - at).catch(refuseRoom)
      at += bytesWritten
    }
  }

  /** Nothing more is written. */
  async finish(): Promise<void> {
    if (!this.#writing) return
    this.#writing = false
    await this.#handle.close()
  }

  /** The body from its first byte. It stays readable to its end when the file is discarded meanwhile. Nothing is thrown. */
  open(): Readable {
    try {
      return createReadStream('', { fd: openSync(this.path, 'r') })
    } catch (error) {
      return new Readable({ read() {} }).destroy(error as Error)
    }
  }

  /** Deletes the file, once; whoever reads it reads on. */
  discard(): void {
    if (this.#discarded) return
    this.#discarded = true
    this.#space.release(this.#size)
    // What cannot be deleted now is when the next process opens the folder.
    void this.finish()
      .then(() => rm(this.path, { force: true }))
      .catch(() => undefined)
  }
}

function refuseRoom(cause: unknown): never {
  throw new Refusal('overloaded', 'This gateway has no room for more uploads. Try again in a moment.', {
    retryAfterS: 1,
    cause,
  })
}
