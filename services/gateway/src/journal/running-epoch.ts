import { leasesOfRun, PARTITIONS, partitionOf, type UsageRecordedData } from '@sluice/contracts'
import type { DrawnRow } from '@sluice/leases'
import { closeLine, closePrefix } from './close-line.ts'
import type { Position } from './epoch-reader.ts'
import { EpochWriter, type EpochWriterOptions, type JournalState, type SegmentState } from './epoch-writer.ts'
import { fitDraft } from './fit-draft.ts'
import { JournalUnavailableError } from './journal-unavailable-error.ts'
import { type EstimatedAttempt, type EstimateOptions, estimateOpen, type OpenEstimate } from './open-estimate.ts'
import type {
  CheckpointRecord,
  EndRecord,
  ExtendRecord,
  NumberedExtend,
  OpeningRecord,
  UsageDraft,
} from './open-record.ts'
import { SaidTogether } from './open-text.ts'
import { recordType } from './record.ts'
import { TurnBatch } from './turn-batch.ts'
import type { Wait } from './waiting-writes.ts'

/** An attempt whose CLOSE has not been asked for. */
interface Attempt extends EstimatedAttempt {
  readonly record: OpeningRecord
  /** Where its OPEN stands; undefined until it is written. */
  segment: SegmentState | undefined
  /** EXTENDs so far. */
  extensions: number
}

/**
 * The journal of this run: which attempts are open, and which number each event gets. Where their records go is
 * {@link EpochWriter}'s part.
 */
export class RunningEpoch {
  readonly gatewayId: string
  readonly epoch: number
  readonly #options: EpochWriterOptions
  readonly #writer: EpochWriter
  readonly #prefix: string
  readonly #turn: TurnBatch
  /** What every lease of this run begins with. */
  readonly #ownLeases: string
  /** By the OPENs of one write, the {@link TurnBatch.number}-th. */
  #said: SaidTogether
  #saidIn = 0
  readonly #attempts = new Map<string, Attempt>()
  readonly #last: number[] = Array(PARTITIONS).fill(0)
  #ended = false

  constructor(options: EpochWriterOptions) {
    this.gatewayId = options.gatewayId
    this.epoch = options.epoch
    this.#options = options
    this.#prefix = closePrefix(this.gatewayId, this.epoch)
    this.#ownLeases = leasesOfRun(this.gatewayId, this.epoch)
    this.#said = new SaidTogether(this.#ownLeases)
    const { listLeases } = options
    this.#writer = new EpochWriter({
      ...options,
      listLeases: () => {
        // What leases have come to counts CLOSEs of this turn: written behind it, their attempts would be settled twice.
        this.#turn.flush()
        return listLeases?.() ?? []
      },
    })
    this.#turn = new TurnBatch(this.#writer, err =>
      options.log.error({ err }, 'a call failed behind its journal record'),
    )
  }

  get state(): JournalState {
    return this.#writer.state
  }

  /** {@link EpochWriter.syncingForMs} */
  get syncingForMs(): number {
    return this.#writer.syncingForMs
  }

  /** Called when more is secured: more can be read. */
  set onSecured(listener: () => void) {
    this.#writer.onSecured = listener
  }

  /** Called when the state changes. */
  set onState(listener: (state: JournalState) => void) {
    this.#writer.onState = listener
  }

  /** The last number given out in each partition. */
  get last(): readonly number[] {
    return this.#last
  }

  /** Attempts that are open. */
  get openAttempts(): number {
    return this.#attempts.size
  }

  /** {@link estimateOpen} */
  estimateOpen(options: EstimateOptions): OpenEstimate {
    return estimateOpen(this.#attempts, options)
  }

  /** {@link EpochWriter.readLimit} */
  readonly readLimit = (): Position => this.#writer.readLimit()

  /** {@link RecentFrames.take} */
  readonly takeRecent = (at: Position): Buffer | undefined => this.#writer.recent.take(at)

  /**
   * @param written called when the OPEN is with the system, or with why it is not; absent: it is when this returns
   * @throws JournalUnavailableError: the attempt must not be sent to its provider
   */
  open(record: OpeningRecord, written?: (error: JournalUnavailableError | undefined) => void): void {
    if (this.state !== 'ok' || this.#ended) throw new JournalUnavailableError({ detail: this.state })
    const attempt = openAttempt(record)
    let failed: JournalUnavailableError | undefined
    this.#attempts.set(record.event_id, attempt)
    const { lead, json, tail, whole } = this.#saidTogether().add(record)
    this.#turn.add({
      type: recordType.open,
      lead,
      json,
      tail,
      whole,
      settle: (cause, segment) => {
        if (cause === undefined && segment) {
          attempt.segment = segment
          segment.open++
          return
        }
        failed = new JournalUnavailableError({ cause })
        this.#attempts.delete(record.event_id)
      },
      written: written && (() => written(failed)),
    })
    if (written) return
    this.#turn.flush()
    if (failed) throw failed
  }

  /** By the OPENs of the write that the next record is part of: what an earlier one has said may be in no file. */
  #saidTogether(): SaidTogether {
    if (this.#saidIn !== this.#turn.number) {
      this.#said = new SaidTogether(this.#ownLeases)
      this.#saidIn = this.#turn.number
    }
    return this.#said
  }

  /**
   * An attempt that its provider has begun without being asked: it is charged, so it is settled by its CLOSE, whether its OPEN
   * can be written or not.
   * @returns why no OPEN of it stands here: whoever is killed before its CLOSE leaves nothing of it
   */
  openBegun(record: OpeningRecord): JournalUnavailableError | undefined {
    try {
      this.open(record)
      return undefined
    } catch (error) {
      // Behind the END nothing is written.
      if (this.#ended || !(error instanceof JournalUnavailableError)) throw error
      this.#attempts.set(record.event_id, openAttempt(record))
      return error
    }
  }

  /** Not written while the disk is full: the reserve is for CLOSEs. */
  checkpoint(record: CheckpointRecord): void {
    const attempt = this.#attempts.get(record.event_id)
    if (!this.#writer.hasRoom || !attempt) return
    attempt.checkpoint = record
    // Where the disk refuses it, the writer has dealt with that; the next one says more than this one.
    this.#turn.add({ type: recordType.checkpoint, json: JSON.stringify(record) })
    this.#turn.flush()
  }

  /**
   * More money for a running attempt. Where calls wait for their records, wait for {@link secured} too before it is used.
   * @returns false: it is not written, and must not be used
   */
  extend({ event_id, holds }: ExtendRecord): boolean {
    const attempt = this.#attempts.get(event_id)
    if (this.state !== 'ok' || this.#ended || !attempt) return false
    let isWritten = false
    this.#addExtend({ event_id, number: attempt.extensions + 1, holds }, error => {
      isWritten = error === undefined
    })
    this.#turn.flush()
    if (isWritten) attempt.extensions++
    return isWritten
  }

  #addExtend(record: NumberedExtend, settle?: (error: unknown) => void): void {
    this.#turn.add({ type: recordType.extend, json: JSON.stringify(record), ...(settle && { settle }) })
  }

  /**
   * Numbers the event and writes it. The draft becomes the event. Never throws for the disk's sake.
   * @param written called when the event survives this process; absent: it does when this returns
   * @param drawn written as the event's `drawn`; what is given back does not have it
   * @throws Error where the attempt is not open: closed twice, it would be paid twice
   */
  close(draft: UsageDraft, urgent: boolean, written?: () => void, drawn?: DrawnRow): UsageRecordedData {
    const attempt = this.#attempts.get(draft.event_id)
    if (!attempt && draft.settlement_key === undefined) throw new Error(`attempt ${draft.event_id} is not open`)
    const partition = partitionOf(draft.identity.project_id)
    const seq = (this.#last[partition] ?? 0) + 1
    const onShrunk = (bytes: number): void =>
      this.#options.log.error(
        { eventId: draft.event_id, bytes },
        'event too large, only what it costs and who pays is kept',
      )
    const text = fitDraft(draft, onShrunk, drawn)
    const { type, lead, json, tail } = closeLine(this.#prefix, partition, seq, text)
    this.#last[partition] = seq
    this.#attempts.delete(draft.event_id)
    // Begun without an OPEN, its leases may be named nowhere else.
    const unnamed = attempt && !attempt.segment ? (attempt.record.holds ?? attempt.record.row?.holds) : undefined
    if (unnamed) this.#addExtend({ event_id: draft.event_id, number: 0, holds: unnamed })
    this.#turn.add(
      {
        type,
        lead,
        json,
        tail,
        numbered: { partition, seq },
        settle: () => {
          if (attempt?.segment) attempt.segment.open--
        },
        written,
      },
      urgent,
    )
    if (!written) this.#turn.flush()
    const event = draft as UsageRecordedData
    event.gateway_id = this.gatewayId
    event.epoch = this.epoch
    event.partition = partition
    event.seq = seq
    return event
  }

  /** {@link EpochWriter.secured} */
  secured(): Wait {
    this.#turn.flush()
    return this.#writer.secured()
  }

  /** {@link EpochWriter.waiting} */
  get waiting(): number {
    return this.#writer.waiting
  }

  /** Resolves when everything written so far is secured. */
  synced(): Promise<void> {
    return this.secured().done
  }

  /** Writes that nothing follows, and syncs it. False where attempts are open or events have no file: replay will end it. */
  async end(): Promise<boolean> {
    this.#ended = true
    this.#turn.flush()
    if (this.#attempts.size > 0 || this.#writer.hasHomeless) return false
    const now = this.#options.now ?? Date.now
    const record: EndRecord = { last: this.#last, ended_by: this.gatewayId, at_ms: now() }
    try {
      this.#writer.write({ type: recordType.end, json: JSON.stringify(record) })
    } catch (err) {
      this.#options.log.error({ err }, 'end of epoch not written')
      return false
    }
    await this.synced()
    return true
  }

  /** Ends timers and closes files. What is synced stays readable. */
  async stop(): Promise<void> {
    this.#ended = true
    this.#turn.flush()
    await this.#writer.stop()
  }

  /** {@link EpochWriter.deletePosted} */
  deletePosted(contiguous: (partition: number) => number): void {
    this.#writer.deletePosted(contiguous)
  }
}

function openAttempt(record: OpeningRecord): Attempt {
  return { segment: undefined, extensions: 0, record, checkpoint: undefined, estimate: undefined }
}
