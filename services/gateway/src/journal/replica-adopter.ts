import { constants, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Bus } from '@sluice/bus'
import type { Logger } from '@sluice/runtime'
import { syncDirectory } from './gateway-identity.ts'
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
  /** The same of a sibling that has taken it over: then it has died over it. While it lives it says so four times in that time. */
  takenMs?: number
  /** A journal was restored below the root. */
  onRestored: () => void
  log: Logger
}

interface Restored {
  subject: ReplicaSubject
  /** Number of our last message. */
  last: number
  saidAtMs: number
  directory: string
}

/**
 * Takes over the replicas of gateways that are gone. Silence proves nothing, so it does not have to: the fence that a sibling
 * writes makes sure that a gateway which lives, cut off, can write no more. Its journal is restored below the root, where it is
 * ended, published and deleted like any other that is adopted.
 */
export class ReplicaAdopter {
  readonly #options: ReplicaAdopterOptions
  readonly #seen = new Map<string, { seq: number; sinceMs: number }>()
  readonly #restored = new Map<string, Restored>()
  readonly #takenMs: number
  #looking: Promise<void> | undefined

  constructor(options: ReplicaAdopterOptions) {
    this.#options = options
    this.#takenMs = options.takenMs ?? 5 * 60_000
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
      const silentMs = last.kind === 'taken' ? this.#takenMs : (this.#options.silentMs ?? 30_000)
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
    await this.#restore(subject, last, directory)
    this.#restored.set(gatewayId, { subject, last, saidAtMs: performance.now(), directory })
    log.info({ gatewayId, directory }, 'journal of a gateway that is gone restored from its replica')
    onRestored()
  }

  /** Writes the segments where nobody looks for journals, then gives them their place: none is ever adopted in part. */
  async #restore(subject: ReplicaSubject, last: number, directory: string): Promise<void> {
    // Ours of an earlier run, or that of a sibling with the same root: it is whole.
    if (existsSync(directory) && listSegments(directory).length > 0) return
    const building = join(this.#options.root, 'restoring', basename(directory))
    rmSync(building, { recursive: true, force: true })
    mkdirSync(building, { recursive: true, mode: 0o700 })
    for await (const message of subject.read(1)) {
      if (message.seq > last) break
      if (message.kind !== 'bytes') continue
      const file = await open(
        segmentPath(building, message.epoch, message.segment),
        constants.O_RDWR | constants.O_CREAT,
      )
      try {
        await file.write(message.bytes, 0, message.bytes.length, message.offset)
        await file.datasync()
      } finally {
        await file.close()
      }
    }
    syncDirectory(building)
    rmSync(directory, { recursive: true, force: true })
    renameSync(building, directory)
    syncDirectory(this.#options.root)
  }

  /** Ends what billing has posted, and says of the rest that we are at it. */
  async #finishRestored(): Promise<void> {
    for (const [gatewayId, restored] of this.#restored) {
      const { subject, last, saidAtMs, directory } = restored
      const isPosted = listSegments(directory).length === 0
      if (!isPosted && performance.now() - saidAtMs < this.#takenMs / 4) continue
      try {
        if (isPosted) await subject.deleteBefore(await subject.write({ kind: 'done' }, last))
        else {
          restored.last = await subject.write({ kind: 'taken' }, last)
          restored.saidAtMs = performance.now()
          continue
        }
      } catch (error) {
        // Another sibling took us for dead over it, and does the rest.
        if (!(error instanceof FencedError)) throw error
      }
      this.#restored.delete(gatewayId)
    }
  }
}
