import { setTimeout as delay } from 'node:timers/promises'
import type { UsageRecordedData } from '@sluice/contracts'
import type { DrawnRow } from '@sluice/leases'
import type { Logger } from '@sluice/runtime'
import { createGatewayPublisher } from '../gateway-publisher.ts'
import { createUsagePublisher, type UsagePublisherOptions } from '../usage-publisher.ts'
import { followMarks, type MarksView } from '../views/marks-view.ts'
import { Adopter, endPastEpochs, stopWanting, wantDirectory } from './adopt.ts'
import { type DirectoryLock, lockDirectory } from './directory-lock.ts'
import { epochSource } from './epoch-source.ts'
import type { EpochWriterOptions, JournalState } from './epoch-writer.ts'
import { beginEpoch, forgetGateway, readIdentity } from './gateway-identity.ts'
import { handOver, onHandOver } from './hand-over.ts'
import { JournalReplica } from './journal-replica.ts'
import { JournalUnavailableError } from './journal-unavailable-error.ts'
import type { EstimateOptions, OpenEstimate } from './open-estimate.ts'
import type {
  CheckpointRecord,
  ExtendRecord,
  IsBegun,
  OpeningRecord,
  RateDraft,
  RecordBackground,
  ReleaseRun,
  UsageDraft,
} from './open-record.ts'
import { type OnRunEnded, type PastEpoch, publishPastEpoch } from './past-epoch.ts'
import { ReplicaAdopter } from './replica-adopter.ts'
import { replicaSubject } from './replica-publisher.ts'
import { RunningEpoch } from './running-epoch.ts'
import { listSegments } from './segment.ts'
import { withinDeadline } from './within-deadline.ts'

export type { JournalState } from './epoch-writer.ts'
export { JournalUnavailableError } from './journal-unavailable-error.ts'
export type {
  CheckpointRecord,
  DraftRating,
  ExtendRecord,
  ModelPart,
  OpeningRecord,
  OpenRecord,
  RateDraft,
  UnratedDraft,
  UsageDraft,
} from './open-record.ts'

/** This gateway's record of what its calls have used. */
export interface Journal {
  readonly gatewayId: string
  readonly epoch: number
  /**
   * Before the upstream call: make it when `written` is called without an error, or, where none is given, when this returns.
   * @throws JournalUnavailableError: do not make it
   */
  open: (record: OpeningRecord, written?: (error: JournalUnavailableError | undefined) => void) => void
  /** {@link RunningEpoch.openBegun} */
  openBegun: (record: OpeningRecord) => JournalUnavailableError | undefined
  checkpoint: (record: CheckpointRecord) => void
  /** {@link RunningEpoch.extend} */
  extend: (record: ExtendRecord) => boolean
  /**
   * Numbers the event, writes it and gives it back (the draft itself). Never throws for the disk's sake. It survives this
   * process when `written` is called, or, where none is given, when this returns. An error: it does, but not as safely as the
   * mode promises.
   */
  close: (
    draft: UsageDraft,
    options: {
      urgent: boolean
      written?: ((error?: JournalUnavailableError) => void) | undefined
      /** {@link RunningEpoch.close} */
      drawn?: DrawnRow | undefined
    },
  ) => UsageRecordedData
  readonly state: JournalState
  /** How long the disk has been at the sync under way; 0: at none. A disk that hangs tells no error. */
  readonly syncingForMs: number
  /** Tells each change of `state`. */
  onState: (listener: (state: JournalState) => void) => void
  /** Events that the stream has not acknowledged, adopted and earlier ones included. */
  unpublishedEvents: () => number
  /** The last number that each partition of this run has given out. */
  readonly last: readonly number[]
  /** {@link RunningEpoch.estimateOpen} */
  estimateOpen: (options: EstimateOptions) => OpenEstimate
  /**
   * In a mode where calls wait: resolves when what was written so far is as safe as the mode promises, which is also when
   * `written` is called. Rejects with JournalUnavailableError where that takes too long. Undefined: nobody waits.
   */
  readonly secured: (() => Promise<void>) | undefined
  /** Resolves when what was written so far would survive a power cut. */
  synced: () => Promise<void>
  /** Waits until everything is synced and published. False: it took longer. */
  drain: (timeoutMs: number) => Promise<boolean>
  /** Ends the epoch if no attempt is open, publishes its end when everything is out, frees the directory. */
  shutdown: () => Promise<void>
}

export const journalModes = ['group', 'strict', 'replicated'] as const
/**
 * `group`: calls never wait for the disk, and a power cut takes the records of its last moments. `strict`: an OPEN is synced
 * before its call leaves, a CHECKPOINT before the first byte of a stream, a CLOSE before an answer or the end of a stream.
 * `replicated`: the same, and JetStream has them too, for machines whose disk goes with them; needs `root`.
 */
export type JournalMode = (typeof journalModes)[number]

export interface JournalOptions
  extends Omit<EpochWriterOptions, 'gatewayId' | 'epoch'>,
    Pick<UsagePublisherOptions, 'bus' | 'gapAfterMs'> {
  /** Journals of sibling gateways are folders of this one: those whose process has ended are adopted. */
  root?: string | undefined
  mode?: JournalMode
  /** How long a call waits for its records in the stricter modes. */
  securedTimeoutMs?: number
  /**
   * In `replicated` mode: how often a gateway with nothing to write says that it lives, how long it may be silent, and how long
   * the sibling that has taken it over may be.
   */
  replica?: { beatMs?: number; silentMs?: number; takenMs?: number }
  /** A sibling has taken this journal over: no call is taken any more, and no record of this run counts. End the process. */
  onTakenOver?: () => void
  rate: RateDraft
  recordBackground?: RecordBackground | undefined
  releaseRun?: ReleaseRun | undefined
  isBegun?: IsBegun | undefined
  /** Called for each earlier run of this directory and each that is adopted, also before this journal is open. */
  onRunEnded?: OnRunEnded | undefined
  /** A journal that stood in this directory has been adopted. */
  onAdopted?: (directory: string) => void
  log: Logger
  /** Of this program, for `gateway.hello`. */
  version?: string
  /** How long a shutdown waits for NATS; what is left is published by the next run. */
  shutdownTimeoutMs?: number
  /** How long to wait for a directory that another process has. */
  lockTimeoutMs?: number
  adoptionIntervalMs?: number
}

/**
 * Opens the directory's journal: takes its lock, begins the next epoch, ends the ones before (attempts that a killed process
 * left get their events), and publishes what billing has not posted yet. Needs NATS once, to follow billing's marks.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const lock = await takeDirectory(options.directory, options.lockTimeoutMs ?? 15_000)
  let marks: MarksView | undefined
  try {
    marks = await followMarks(options.bus, options.log)
    return await openLocked(options, lock, marks)
  } catch (error) {
    await marks?.close()
    lock.release()
    throw error
  }
}

async function openLocked(options: JournalOptions, lock: DirectoryLock, marks: MarksView): Promise<Journal> {
  const { directory, root, bus, log, rate, recordBackground, releaseRun, isBegun, onRunEnded, version = '' } = options
  const shutdownTimeoutMs = options.shutdownTimeoutMs ?? 5_000
  const securedTimeoutMs = options.securedTimeoutMs ?? 5_000
  const isReplicated = options.mode === 'replicated'
  if (isReplicated) await leaveTakenIdentity(bus, directory, log)
  const { gatewayId, epoch } = beginEpoch(directory)
  const stop = new AbortController()
  const gatewayPublisher = createGatewayPublisher(bus, log)
  const findMark = marks.find
  const publisher = createUsagePublisher({ ...options, findMark })
  const ending = { rate, recordBackground, releaseRun, isBegun }
  const deps = { publisher, gatewayPublisher, findMark, gatewayId, log, ...ending, onRunEnded, stopping: stop.signal }
  const past = new Map<number, PastEpoch>()
  async function endEarlierRuns(): Promise<void> {
    for (const ended of await endPastEpochs(deps, directory, each => each < epoch && !past.has(each))) {
      const pastEpoch = publishPastEpoch(deps, ended)
      past.set(ended.epoch, pastEpoch)
      pastEpoch.finished.catch(err => log.error({ err, epoch: ended.epoch }, 'earlier run not posted'))
    }
  }
  await endEarlierRuns()

  const listeners: ((state: JournalState) => void)[] = []
  let isFenced = false
  const replica = isReplicated
    ? new JournalReplica({
        ...(await openReplica(bus, gatewayId)),
        ...options.replica,
        directory,
        epoch,
        onFenced: () => {
          isFenced = true
          for (const listener of listeners) listener('failed')
          options.onTakenOver?.()
        },
        log,
      })
    : undefined
  const running = new RunningEpoch({
    ...options,
    gatewayId,
    epoch,
    copy: replica && (upTo => replica.copyTo(upTo)),
    copyLateMs: securedTimeoutMs,
  })
  const source = epochSource({
    directory,
    gatewayId,
    epoch,
    before: [],
    from: () => listSegments(directory).find(segment => segment.epoch === epoch)?.number ?? 1,
    limit: running.readLimit,
    recent: running.takeRecent,
    log,
  })
  const publication = publisher.follow(source)
  running.onSecured = publication.wake
  running.onState = state => {
    for (const listener of listeners) listener(state)
  }

  function sayHello(run: { gatewayId: string; epoch: number }): void {
    gatewayPublisher.hello({ gateway_id: run.gatewayId, epoch: run.epoch, version }, stop.signal).catch(err => {
      if (!stop.signal.aborted) log.error({ err }, 'hello not published')
    })
  }
  const adopter =
    root === undefined
      ? undefined
      : new Adopter({
          ...deps,
          root,
          own: directory,
          onAdopted: ended => {
            sayHello(ended)
            options.onAdopted?.(ended.directory)
          },
        })
  const replicas =
    isReplicated && root !== undefined
      ? new ReplicaAdopter({ ...options.replica, bus, gatewayId, root, log, onRestored: () => void adopter?.look() })
      : undefined
  sayHello({ gatewayId, epoch })
  void adopter?.look()
  const stopWatching = root === undefined ? undefined : onHandOver(root, () => void adopter?.look(), log)
  const eachSecond = setInterval(() => {
    running.deletePosted(partition => findMark({ gatewayId, epoch, partition })?.contiguous ?? 0)
    publication.repair()
    adopter?.letGo()
    const oldest = replica && listSegments(directory).find(segment => segment.epoch === epoch)?.number
    if (oldest !== undefined) replica?.forgetBefore(oldest).catch(err => log.warn({ err }, 'replica not shortened'))
  }, 1_000)
  let looking = Promise.resolve()
  const adoption = setInterval(() => {
    looking = looking.then(endEarlierRuns).catch(err => log.error({ err }, 'earlier runs not looked for'))
    void adopter?.look()
    void replicas?.look()
  }, options.adoptionIntervalMs ?? 10_000)

  const unpublishedOwn = (): number =>
    running.last.reduce((sum, last, partition) => sum + last - (publication.acked[partition] ?? 0), 0)
  const unpublishedEvents = (): number =>
    unpublishedOwn() +
    [...past.values()].reduce((sum, each) => sum + each.unpublished(), 0) +
    (adopter?.unpublished() ?? 0)

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

  async function shutdown(): Promise<void> {
    const deadline = performance.now() + shutdownTimeoutMs
    const msLeft = (): number => Math.max(1, Math.ceil(deadline - performance.now()))
    // Taken over, nothing of this run is ever secured again.
    const ended = !isFenced && (await Promise.race([running.end(), delay(shutdownTimeoutMs, false, { ref: false })]))
    if (!isFenced) await drain(msLeft())
    if (ended && unpublishedOwn() === 0) {
      const closed = { gateway_id: gatewayId, epoch, last: [...running.last], closed_by: gatewayId }
      await gatewayPublisher
        .epochClosed(closed, AbortSignal.timeout(msLeft()))
        .then(() => (unpublishedEvents() === 0 ? replica?.end() : undefined))
        .catch(err => log.warn({ err, epoch }, 'end of epoch left to the next run'))
    }
    clearInterval(eachSecond)
    clearInterval(adoption)
    stopWatching?.()
    stop.abort()
    await replicas?.close()
    await adopter?.close()
    await looking
    await Promise.allSettled([...past.values()].map(each => each.finished))
    await publication.close()
    await source.close()
    await replica?.stop()
    await running.stop()
    await marks.close()
    // Before the lock is free: its runs are the sibling's, and not to be adopted from here once more.
    if (isFenced)
      await leaveTakenIdentity(bus, directory, log).catch(err => log.warn({ err }, 'journal left to the next run'))
    lock.release()
    // What billing has not posted yet is a sibling's now, and what was adopted here too.
    if (root !== undefined) handOver(root)
  }

  const secured =
    options.mode === 'strict' || isReplicated ? withinDeadline(() => running.secured(), securedTimeoutMs) : undefined
  const onThrown = (err: unknown): void => log.error({ err }, 'a call failed behind its journal record')
  let shuttingDown: Promise<void> | undefined
  return {
    gatewayId,
    epoch,
    open: (record, written) => {
      if (isFenced) throw new JournalUnavailableError({ detail: 'taken over' })
      running.open(record, written && secured ? afterwards(secured, written, onThrown) : written)
    },
    openBegun: record => {
      const unavailable = running.openBegun(record)
      return isFenced ? new JournalUnavailableError({ detail: 'taken over' }) : unavailable
    },
    checkpoint: record => running.checkpoint(record),
    extend: record => !isFenced && running.extend(record),
    close: (draft, { urgent, written, drawn }) =>
      running.close(draft, urgent, written && secured ? afterwards(secured, written, onThrown) : written, drawn),
    get state() {
      return isFenced ? 'failed' : running.state
    },
    get syncingForMs() {
      return running.syncingForMs
    },
    onState: listener => void listeners.push(listener),
    unpublishedEvents,
    last: running.last,
    estimateOpen: options => running.estimateOpen(options),
    secured,
    synced: () => running.synced(),
    drain,
    shutdown: () => {
      shuttingDown ??= shutdown()
      return shuttingDown
    },
  }
}

async function openReplica(bus: JournalOptions['bus'], gatewayId: string) {
  const subject = await replicaSubject(bus, gatewayId)
  return { subject, last: (await subject.readLast())?.seq ?? 0 }
}

/** A directory whose runs a sibling has taken from their replica begins anew, as another gateway. */
async function leaveTakenIdentity(bus: JournalOptions['bus'], directory: string, log: Logger): Promise<void> {
  const known = readIdentity(directory)
  const last = known && (await (await replicaSubject(bus, known.gatewayId)).readLast())
  if (last?.kind !== 'taken' && last?.kind !== 'done') return
  log.warn({ gatewayId: known?.gatewayId }, 'a sibling has taken this journal over: it begins anew')
  forgetGateway(directory)
}

/** Tells of a record when it is secured, not when it is written. */
function afterwards(
  secured: () => Promise<void>,
  written: (error: JournalUnavailableError | undefined) => void,
  onThrown: (error: unknown) => void,
): (error?: JournalUnavailableError) => void {
  return error => {
    if (error) return written(error)
    secured()
      .then(
        () => written(undefined),
        cause => {
          const unsecured = new JournalUnavailableError({ cause })
          unsecured.attemptIsOpen = true
          written(unsecured)
        },
      )
      .catch(onThrown)
  }
}

/** Waits for the directory: a sibling that has adopted it gives it back within a second or two. */
async function takeDirectory(directory: string, timeoutMs: number): Promise<DirectoryLock> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const lock = lockDirectory(directory)
    if (lock || performance.now() >= deadline) stopWanting(directory)
    if (lock) return lock
    if (performance.now() >= deadline)
      throw new Error(`journal directory ${directory} is in use by another gateway: give each gateway its own`)
    wantDirectory(directory)
    await delay(100)
  }
}
