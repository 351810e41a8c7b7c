import type { ServerResponse } from 'node:http'

/** How the bytes of a reply are mistreated on the way out. */
export interface ByteFaults {
  /** Write this many bytes at a time, each in a write of its own. */
  readonly chopBytes: number | undefined
  /** Destroy the socket once this many bytes of the body are out. */
  readonly dropAtByte: number | undefined
}

/** Writes a reply's body, with backpressure, and with byte faults where asked. */
export class ReplySink {
  readonly #reply: ServerResponse
  readonly #faults: ByteFaults
  #sent = 0
  #dropped = false

  constructor(reply: ServerResponse, faults: ByteFaults) {
    this.#reply = reply
    this.#faults = faults
  }

  get dropped(): boolean {
    return this.#dropped
  }

  /** Resolves when more may be written; returns nothing when it may be at once. */
  write(text: string): Promise<void> | undefined {
    if (this.#dropped || this.#reply.destroyed) return undefined
    if (this.#faults.chopBytes !== undefined || this.#faults.dropAtByte !== undefined) {
      return this.#writeBytes(Buffer.from(text))
    }
    return this.#reply.write(text) ? undefined : this.#drained()
  }

  async #writeBytes(bytes: Buffer): Promise<void> {
    const drop = this.#faults.dropAtByte
    const allowed = drop === undefined ? bytes : bytes.subarray(0, Math.max(0, drop - this.#sent))
    const step = this.#faults.chopBytes ?? (allowed.length || 1)
    for (let at = 0; at < allowed.length && !this.#reply.destroyed; at += step) {
      const piece = allowed.subarray(at, at + step)
      await new Promise<void>(resolve => this.#reply.write(piece, () => resolve()))
      // A turn of the loop between writes keeps them from leaving as one packet.
      if (this.#faults.chopBytes !== undefined) await new Promise<void>(resolve => setImmediate(resolve))
    }
    this.#sent += allowed.length
    if (drop !== undefined && this.#sent >= drop) {
      this.#dropped = true
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
