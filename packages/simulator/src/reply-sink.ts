import type { ServerResponse } from 'node:http'
import type { Directives } from './directives.ts'

/** How the bytes of a reply are mistreated on the way out. */
export interface ByteFaults {
  /** Write this many bytes at a time, each in a write of its own. */
  readonly chopBytes: number | undefined
  /** Destroy the socket once this many bytes of the body are out. */
  readonly dropAtByte: number | undefined
}

/** The byte faults of a call, if it has any. */
export function readByteFaults(directives: Directives): ByteFaults | undefined {
  const chopBytes = directives.number('chop')
  const dropAtByte = directives.has('drop') ? (directives.number('at_byte') ?? 0) : undefined
  if (chopBytes === undefined && dropAtByte === undefined) return undefined
  return { chopBytes: chopBytes === undefined ? undefined : Math.max(1, chopBytes), dropAtByte }
}

/** Writes a reply's body, with backpressure, and with byte faults where asked. */
export class ReplySink {
  readonly #reply: ServerResponse
  readonly #faults: ByteFaults | undefined
  readonly #onDrop: () => void
  #sent = 0
  #dropped = false

  constructor(reply: ServerResponse, faults: ByteFaults | undefined, onDrop: () => void) {
    this.#reply = reply
    this.#faults = faults
    this.#onDrop = onDrop
  }

  get dropped(): boolean {
    return this.#dropped
  }

  /** Resolves when more may be written; returns nothing when it may be at once. */
  write(text: string | Buffer): Promise<void> | undefined {
    if (this.#dropped || this.#reply.destroyed) return undefined
    if (this.#faults !== undefined)
      return this.#writeBytes(typeof text === 'string' ? Buffer.from(text) : text, this.#faults)
    return this.#reply.write(text) ? undefined : this.#drained()
  }

  async #writeBytes(bytes: Buffer, { chopBytes, dropAtByte: drop }: ByteFaults): Promise<void> {
    const allowed = drop === undefined ? bytes : bytes.subarray(0, Math.max(0, drop - this.#sent))
    const step = chopBytes ?? (allowed.length || 1)
    for (let at = 0; at < allowed.length && !this.#reply.destroyed; at += step) {
      const piece = allowed.subarray(at, at + step)
      await new Promise<void>(resolve => this.#reply.write(piece, () => resolve()))
      // A turn of the loop between writes keeps them from leaving as one packet.
      if (chopBytes !== undefined) await new Promise<void>(resolve => setImmediate(resolve))
    }
    this.#sent += allowed.length
    if (drop !== undefined && this.#sent >= drop) {
      this.#dropped = true
      this.#onDrop()
      this.#reply.destroy()
    }
  }

  #drained(): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        this.#reply.off('drain', done)
        this.#reply.off('close', done)
        resolve()
      }
      this.#reply.once('drain', done)
      this.#reply.once('close', done)
    })
  }
}
