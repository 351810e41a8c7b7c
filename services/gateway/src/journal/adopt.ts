import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PARTITIONS } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { type DirectoryLock, lockDirectory, lockIsProof } from './directory-lock.ts'
import { readIdentity } from './gateway-identity.ts'
import type { IsBegun, RateDraft, RecordBackground, ReleaseRun } from './open-record.ts'
import { type PastEpoch, type PastEpochDeps, publishPastEpoch } from './past-epoch.ts'
import { type EndedEpoch, endEpoch, type ReplayOptions } from './replay.ts'
import { listSegments, removeReserve, type SegmentName } from './segment.ts'

export interface EndEpochsDeps {
  rate: RateDraft
  recordBackground?: RecordBackground | undefined
  releaseRun?: ReleaseRun | undefined
  isBegun?: IsBegun | undefined
  /** Who ends them. */
  gatewayId: string
  log: Logger
}

/**
 * Ends every epoch of a directory that `isPast`. The caller holds the directory's lock. An epoch that cannot be ended (the
 * disk is full, the file is damaged) does not hold up the others: it is logged, stays, and is for the caller to try again.
 */
export async function endPastEpochs(
  deps: EndEpochsDeps,
  directory: string,
  isPast: (epoch: number) => boolean,
): Promise<EndedEpoch[]> {
  const byEpoch = new Map<number, SegmentName[]>()
  for (const segment of listSegments(directory)) {
    if (!isPast(segment.epoch)) continue
    const segments = byEpoch.get(segment.epoch)
    if (segments) segments.push(segment)
    else byEpoch.set(segment.epoch, [segment])
  }
  const ended: EndedEpoch[] = []
  for (const [epoch, segments] of byEpoch) {
    try {
      const options = { ...deps, directory, segments, endedBy: deps.gatewayId }
      const found = (await endEpoch(options)) ?? blankEpoch(options)
      if (found) ended.push(found)
      else for (const { path } of segments) rmSync(path, { force: true })
    } catch (err) {
      deps.log.error({ err, directory, epoch }, 'ended run cannot be replayed, will be tried again')
    }
  }
  return ended
}

/** A run whose records all were lost: of what it was granted nothing is on record, which its homes are to hear too. */
function blankEpoch({ directory, segments }: Pick<ReplayOptions, 'directory' | 'segments'>): EndedEpoch | undefined {
  const known = readIdentity(directory)
  const [first] = segments
  if (!known || !first) return undefined
  const none = Array<number>(PARTITIONS).fill(0)
  const { gatewayId } = known
  const end = { segment: first.number, offset: 0 }
  return { directory, gatewayId, epoch: first.epoch, segments, end, before: none, last: none, leases: [] }
}

export interface AdopterDeps extends Omit<PastEpochDeps, 'stopping'>, EndEpochsDeps {
  /** Journals of siblings are folders of this one. */
  root: string
  /** Our own, which is not adopted. */
  own: string
  onAdopted: (ended: EndedEpoch) => void
}

interface Adoption {
  lock: DirectoryLock
  epochs: PastEpoch[]
  stop: AbortController
  finished: Promise<void>
}

const wantedFile = 'wanted'

/** Asks whoever has the directory to let go. Said again and again while we wait: a process that has ended wants nothing. */
export function wantDirectory(directory: string): void {
  writeFileSync(join(directory, wantedFile), '')
}

/** We have it, or have given up. */
export function stopWanting(directory: string): void {
  rmSync(join(directory, wantedFile), { force: true })
}

function isWanted(directory: string): boolean {
  const file = statSync(join(directory, wantedFile), { throwIfNoEntry: false })
  return file !== undefined && Date.now() - file.mtimeMs < 5_000
}

/**
 * Takes over journals whose process is proved ended: we get their lock, on a file system where that is proof. A directory
 * stays locked until everything in it is posted and deleted; its own gateway, when it starts again, asks for it by a file
 * and goes on where the adopter stands. Nobody is ever taken for dead because it is silent.
 */
export class Adopter {
  readonly #deps: AdopterDeps
  readonly #adoptions = new Map<string, Adoption>()
  #looking: Promise<void> | undefined

  constructor(deps: AdopterDeps) {
    this.#deps = deps
  }

  /** Events of adopted journals that the stream has not acknowledged. */
  unpublished(): number {
    let sum = 0
    for (const { epochs } of this.#adoptions.values()) for (const epoch of epochs) sum += epoch.unpublished()
    return sum
  }

  /** Looks for journals to adopt. What goes wrong is logged and tried at the next look: it never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch(err => this.#deps.log.error({ err, root: this.#deps.root }, 'journals to adopt not looked for'))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** Lets go of what is wanted back. */
  letGo(): void {
    for (const [directory, adoption] of this.#adoptions) {
      if (isWanted(directory)) adoption.stop.abort()
    }
  }

  async close(): Promise<void> {
    await this.#looking
    for (const { stop } of this.#adoptions.values()) stop.abort()
    await Promise.all([...this.#adoptions.values()].map(adoption => adoption.finished))
  }

  async #look(): Promise<void> {
    const { root, own, log } = this.#deps
    if (!existsSync(root) || !lockIsProof(root)) return
    for (const name of readdirSync(root)) {
      const directory = resolve(root, name)
      if (directory === resolve(own) || this.#adoptions.has(directory)) continue
      try {
        if (statSync(directory).isDirectory() && listSegments(directory).length > 0) await this.#adopt(directory)
      } catch (err) {
        log.error({ err, directory }, 'journal not adopted, will be tried again')
      }
    }
  }

  async #adopt(directory: string): Promise<void> {
    if (isWanted(directory)) return
    const lock = lockDirectory(directory)
    if (!lock) return
    let ended: EndedEpoch[]
    try {
      ended = await endPastEpochs(this.#deps, directory, () => true)
    } catch (error) {
      lock.release()
      throw error
    }
    const stop = new AbortController()
    const deps = { ...this.#deps, stopping: stop.signal }
    const epochs = ended.map(epoch => publishPastEpoch(deps, epoch))
    const finished = Promise.allSettled(epochs.map(epoch => epoch.finished)).then(results => {
      for (const result of results)
        if (result.status === 'rejected')
          deps.log.error({ err: result.reason, directory }, 'adopted journal not posted')
      // Its id and epoch stay: should its gateway come back, it is the same one, a run later.
      removeReserve(directory)
      lock.release()
      this.#adoptions.delete(directory)
    })
    this.#adoptions.set(directory, { lock, epochs, stop, finished })
    deps.log.info({ directory, gateway: readIdentity(directory)?.gatewayId, epochs: ended.length }, 'journal adopted')
    for (const epoch of ended) deps.onAdopted(epoch)
  }
}
