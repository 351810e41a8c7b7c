import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, followBucket, publishEvent } from '@sluice/bus'
import { GatewayHello, type GatewayHelloData, Mark, seriesKey, type UsageRecordedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { createUsagePublisher } from '../usage-publisher.ts'
import { Adopter, endPastEpochs, wantedFile } from './adopt.ts'
import { type DirectoryLock, lockDirectory } from './directory-lock.ts'
import { epochSource } from './epoch-source.ts'
import { beginEpoch } from './gateway-identity.ts'
import type { CheckpointRecord, OpenRecord, RateDraft, UsageDraft } from './open-record.ts'
import { publishEpochClosed, publishPastEpoch } from './past-epoch.ts'
import { type JournalState, RunningEpoch } from './running-epoch.ts'
import { listSegments, type SegmentIo } from './segment.ts'

export { JournalUnavailableError } from './journal-unavailable-error.ts'
export type { CheckpointRecord, DraftRating, OpenRecord, RateDraft, UnratedDraft, UsageDraft } from './open-record.ts'
export type { JournalState } from './running-epoch.ts'

/** This gateway's record of what its calls have used. */
export interface Journal {
  readonly gatewayId: string
  readonly epoch: number
  /** Before the upstream call. @throws JournalUnavailableError: do not make it */
  open: (record: OpenRecord) => void
  checkpoint: (record: CheckpointRecord) => void
  /** Numbers the event, writes it and gives it back (the draft itself). Never throws for the disk's sake. */
  close: (draft: UsageDraft, options: { urgent: boolean }) => UsageRecordedData
  readonly state: JournalState
  /** Tells each change of `state`. */
  onState: (listener: (state: JournalState) => void) => void
  /** Events that the stream has not acknowledged, adopted and earlier ones included. */
  unpublishedEvents: () => number
  /** Resolves when what was written so far would survive a power cut. */
  synced: () => Promise<void>
  /** Waits until everything is synced and published. False: it took longer. */
  drain: (timeoutMs: number) => Promise<boolean>
  /** Ends the epoch if no attempt is open, publishes its end when everything is out, frees the directory. */
  shutdown: () => Promise<void>
}

type Lease = GatewayHelloData['leases'][number]

export interface JournalOptions {
  directory: string
  /** Journals of sibling gateways are folders of this one: those whose process has ended are adopted. */
  root?: string | undefined
  bus: Bus
  rate: RateDraft
  log: Logger
  /** Of this program, for `gateway.hello`. */
  version?: string
  listLeases?: () => readonly Lease[]
  /** How long a shutdown waits for NATS; what is left is published by the next run. */
  shutdownTimeoutMs?: number
  /** How long to wait for a directory that another process has. */
  lockTimeoutMs?: number
  segmentBytes?: number
  reserveBytes?: number
  syncIntervalMs?: number
  adoptionIntervalMs?: number
  gapAfterMs?: number
  io?: SegmentIo
}

/**
 * Opens the directory's journal: takes its lock, begins the next epoch, ends the ones before (attempts that a killed process
 * left get their events), and publishes what billing has not posted yet. Needs NATS once, to follow billing's marks.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, bus, log, rate } = options
  const lock = await takeDirectory(directory, options.lockTimeoutMs ?? 15_000)
  try {
    return await openLocked(options, lock)
  } catch (error) {
    lock.release()
    throw error
  }

  async function openLocked(_: JournalOptions, held: DirectoryLock): Promise<Journal> {
    const marks = await followBucket(bus, 'marks', Mark, { log })
    const findMark = (key: string): Mark | undefined => marks.get(key)
    const publisher = createUsagePublisher({
      bus,
      findMark,
      log,
      ...(options.gapAfterMs === undefined ? {} : { gapAfterMs: options.gapAfterMs }),
    })
    const { gatewayId, epoch } = beginEpoch(directory)
    const running = new RunningEpoch({ ...options, gatewayId, epoch })
    const source = epochSource({
      directory,
      gatewayId,
      epoch,
      before: [],
      from: () => listSegments(directory).find(segment => segment.epoch === epoch)?.number ?? 1,
      limit: running.readLimit,
      log,
    })
    const publication = publisher.follow(source)
    running.onSynced = publication.wake
    const listeners: ((state: JournalState) => void)[] = []
    running.onState = state => {
      for (const listener of listeners) listener(state)
    }

    const stop = new AbortController()
    const stopping = stop.signal
    const deps = { bus, publisher, findMark, gatewayId, log, rate, stopping }
    const past = (await endPastEpochs(deps, directory, epoch)).map(ended => publishPastEpoch(deps, ended))
    for (const { finished } of past) finished.catch(err => log.error({ err }, 'earlier run not posted'))
    const adopter =
      options.root === undefined
        ? undefined
        : new Adopter({
            ...deps,
            root: options.root,
            own: directory,
            onAdopted: ended =>
              sayHello({ gateway_id: ended.gatewayId, epoch: ended.epoch, leases: ended.leases as Lease[] }),
          })

    function sayHello(about: Pick<GatewayHelloData, 'gateway_id' | 'epoch' | 'leases'>): void {
      const data = { ...about, at_ms: Date.now(), version: options.version ?? '' }
      const meta = {
        id: `${about.gateway_id}.${about.epoch}.${data.at_ms}`,
        source: `/gateway/${gatewayId}`,
        timeMs: data.at_ms,
      }
      const attempt = async (): Promise<void> => {
        for (let tries = 0; !stopping.aborted; tries++) {
          try {
            return await publishEvent(bus, GatewayHello, [], data, meta)
          } catch (err) {
            log.warn({ err, tries }, 'hello not published, will be tried again')
            await delay(Math.min(100 * 2 ** tries, 5_000), undefined, { signal: stopping })
          }
        }
      }
      attempt().catch(() => {})
    }

    sayHello({ gateway_id: gatewayId, epoch, leases: [...(options.listLeases?.() ?? [])] })
    void adopter?.look()
    const eachSecond = setInterval(() => {
      running.deletePosted(partition => findMark(seriesKey({ gatewayId, epoch, partition }))?.contiguous ?? 0)
      publication.repair()
      adopter?.letGo()
    }, 1_000)
    const adoption = setInterval(() => void adopter?.look(), options.adoptionIntervalMs ?? 10_000)

    const unpublishedOwn = (): number =>
      running.last.reduce((sum, last, partition) => sum + last - (publication.acked[partition] ?? 0), 0)
    const unpublishedEvents = (): number =>
      unpublishedOwn() + past.reduce((sum, each) => sum + each.unpublished(), 0) + (adopter?.unpublished() ?? 0)

    async function drain(timeoutMs: number): Promise<boolean> {
      const deadline = performance.now() + timeoutMs
      let isSynced = false
      void running.synced().then(() => {
        isSynced = true
      })
      while (!isSynced || unpublishedEvents() > 0) {
        if (performance.now() >= deadline) return false
        await delay(5)
      }
      return true
    }

    let shuttingDown: Promise<void> | undefined
    async function shutdown(): Promise<void> {
      const timeoutMs = options.shutdownTimeoutMs ?? 5_000
      const deadline = performance.now() + timeoutMs
      const ended = await Promise.race([running.end(), delay(timeoutMs, false, { ref: false })])
      await drain(Math.max(0, deadline - performance.now()))
      if (ended && unpublishedOwn() === 0) {
        const patience = AbortSignal.timeout(Math.max(1, Math.ceil(deadline - performance.now())))
        try {
          await publishEpochClosed({ ...deps, stopping: patience }, { gatewayId, epoch, last: running.last })
        } catch (err) {
          log.warn({ err, epoch }, 'end of epoch left to the next run')
        }
      }
      clearInterval(eachSecond)
      clearInterval(adoption)
      stop.abort()
      await adopter?.close()
      await Promise.all(past.map(each => each.finished))
      await publication.close()
      await source.close()
      await running.stop()
      await marks.close()
      held.release()
    }

    return {
      gatewayId,
      epoch,
      open: record => running.open(record),
      checkpoint: record => running.checkpoint(record),
      close: (draft, { urgent }) => running.close(draft, urgent),
      get state() {
        return running.state
      },
      onState: listener => {
        listeners.push(listener)
      },
      unpublishedEvents,
      synced: () => running.synced(),
      drain,
      shutdown: () => {
        shuttingDown ??= shutdown()
        return shuttingDown
      },
    }
  }
}

/** Waits for the directory: a sibling that has adopted it gives it back within a second or two. */
async function takeDirectory(directory: string, timeoutMs: number): Promise<DirectoryLock> {
  const deadline = performance.now() + timeoutMs
  const wanted = join(directory, wantedFile)
  for (;;) {
    const lock = lockDirectory(directory)
    if (lock) {
      rmSync(wanted, { force: true })
      return lock
    }
    if (performance.now() >= deadline) {
      rmSync(wanted, { force: true })
      throw new Error(`journal directory ${directory} is in use by another gateway: give each gateway its own`)
    }
    writeFileSync(wanted, '')
    await delay(100)
  }
}
