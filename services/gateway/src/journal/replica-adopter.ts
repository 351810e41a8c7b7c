import { mkdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bus } from '@sluice/bus'
import type { Logger } from '@sluice/runtime'
import { lockDirectory } from './directory-lock.ts'
import { FencedError, listReplicas, type ReplicaSubject, replicaSubject } from './replica-publisher.ts'
import { listSegments, segmentPath } from './segment.ts'

export interface ReplicaAdopterOptions {
  bus: Bus
  /** Our own gateway, which is not adopted. */
  gatewayId: string
  /** Where journals are restored, and found by the adopter. */
  root: string
  /** How long a gateway's subject must stand still, seen from here, before it is fenced. */
  silentMs?: number
  /** A journal was restored below the root. */
  onRestored: () => void
  log: Logger
}

/** One that has taken a journal over and is not heard of for so long has died over it. */
const takenMs = 5 * 60_000

/**
 * Takes over the replicas of gateways that are gone. Silence proves nothing, so it does not have to: the fence that a sibling
 * writes makes sure that a gateway which lives, cut off, can write no more. Its journal is restored below the root, where it is
 * ended, published and deleted like any other that is adopted.
 */
export class ReplicaAdopter {
  readonly #options: ReplicaAdopterOptions
  readonly #seen = new Map<string, { seq: number; sinceMs: number }>()
  readonly #restored = new Map<string, { subject: ReplicaSubject; last: number; directory: string }>()
  #looking: Promise<void> | undefined

  constructor(options: ReplicaAdopterOptions) {
    this.#options = options
  }

  /** Never rejects: what goes wrong is logged and tried at the next look. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch(err => this.#options.log.warn({ err }, 'replicas of journals not looked at'))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async close(): Promise<void> {
    await this.#looking
  }

  async #look(): Promise<void> {
    const { bus, gatewayId: own } = this.#options
    // While we are cut off, everybody seems silent.
    if (!bus.isConnected()) return this.#seen.clear()
    await this.#finishRestored()
    for (const gatewayId of await listReplicas(bus)) {
      if (gatewayId === own || this.#restored.has(gatewayId)) continue
      const subject = await replicaSubject(bus, gatewayId)
      const last = await subject.readLast()
      if (!last || last.kind === 'done' || last.kind === 'ended') continue
      const seen = this.#seen.get(gatewayId)
      if (seen?.seq !== last.seq) {
        this.#seen.set(gatewayId, { seq: last.seq, sinceMs: performance.now() })
        continue
      }
      const silentMs = last.kind === 'taken' ? takenMs : (this.#options.silentMs ?? 30_000)
      if (performance.now() - seen.sinceMs >= silentMs) await this.#takeOver(gatewayId, subject, last.seq)
    }
  }

  async #takeOver(gatewayId: string, subject: ReplicaSubject, after: number): Promise<void> {
    const { root, onRestored, log } = this.#options
    this.#seen.delete(gatewayId)
    let last: number
    try {
      last = await subject.write({ kind: 'taken' }, after)
    } catch (error) {
      // It lives, or another sibling was faster.
      if (error instanceof FencedError) return
      throw error
    }
    const directory = join(root, `restored-${gatewayId}`)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    // Nobody adopts it before it is whole.
    const lock = lockDirectory(directory)
    if (!lock) return
    try {
      for await (const message of subject.read(1)) {
        if (message.seq > last) break
        if (message.kind !== 'bytes') continue
        const file = await open(segmentPath(directory, message.epoch, message.segment), 'a+').then(async made => {
          await made.close()
          return open(segmentPath(directory, message.epoch, message.segment), 'r+')
        })
        try {
          await file.write(message.bytes, 0, message.bytes.length, message.offset)
        } finally {
          await file.close()
        }
      }
    } finally {
      lock.release()
    }
    this.#restored.set(gatewayId, { subject, last, directory })
    log.info({ gatewayId, directory }, 'journal of a gateway that is gone restored from its replica')
    onRestored()
  }

  /** Restored journals of which billing has posted everything. */
  async #finishRestored(): Promise<void> {
    for (const [gatewayId, { subject, last, directory }] of this.#restored) {
      if (listSegments(directory).length > 0) continue
      try {
        await subject.deleteBefore(await subject.write({ kind: 'done' }, last))
      } catch (error) {
        // Another sibling took us for dead over it, and does the rest.
        if (!(error instanceof FencedError)) throw error
      }
      this.#restored.delete(gatewayId)
    }
  }
}
