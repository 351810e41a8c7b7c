import { closeSync, fdatasyncSync, ftruncateSync, openSync, statSync } from 'node:fs'
import {
  type LeaseTotals,
  leaseIdOfName,
  leaseTotalsOf,
  PARTITIONS,
  partitionOf,
  type UsageRecordedData,
} from '@sluice/contracts'
import { type JournaledHold, JournaledLeases } from '@sluice/leases'
import type { Logger } from '@sluice/runtime'
import { closeLine, closePrefix } from './close-line.ts'
import { EpochReader, type Position } from './epoch-reader.ts'
import { fitDraft } from './fit-draft.ts'
import { HeldMoney, nothingUsed, settleKilledHolds, unknownUse } from './held-money.ts'
import { killedDraft } from './killed-draft.ts'
import { MissingNumbers } from './missing-numbers.ts'
import {
  type CheckpointRecord,
  type EndRecord,
  type HeaderRecord,
  type IsBegun,
  journalFormats,
  type NumberedExtend,
  type RateDraft,
  type RecordBackground,
  type ReleaseRun,
} from './open-record.ts'
import { type LegibleOpen, OpenReader } from './open-text.ts'
import { encodeFrames, type RecordText, recordType } from './record.ts'
import { nodeIo, type SegmentName, writeRecord } from './segment.ts'

export interface ReplayOptions {
  directory: string
  /** Segments of one epoch, oldest first. The directory's lock is held, and the process that wrote them has ended. */
  segments: readonly SegmentName[]
  rate: RateDraft
  recordBackground?: RecordBackground | undefined
  releaseRun?: ReleaseRun | undefined
  isBegun?: IsBegun | undefined
  /** Who ends the epoch. */
  endedBy: string
  log: Logger
  now?: () => number
}

/** An epoch to which nothing will be added. */
export interface EndedEpoch {
  directory: string
  gatewayId: string
  epoch: number
  segments: readonly SegmentName[]
  /** Where its records end. */
  end: Position
  /** The last number of each partition before the oldest segment that is still there: all of them are posted. */
  before: readonly number[]
  last: readonly number[]
  /** Every lease that its records name, with what they have come to. What they do not name was never used. */
  leases: readonly LeaseTotals[]
}

interface OpenAttempt extends Omit<LegibleOpen, 'holds'> {
  checkpoint: CheckpointRecord | undefined
  money: HeldMoney | undefined
  /** Damages in front of its latest record: only a later one can have taken its CLOSE. */
  damagesBefore: number
}

/** A record is written again at most a few segments on: each failure opens one or two. */
const rememberedSegments = 8

interface Scan {
  header: HeaderRecord
  open: Map<string, OpenAttempt>
  /** Places where bytes were no record, so far. */
  damages: number
  /**
   * Closed in this segment and in those before it, the newest first: what failed writes and syncs made stand in two segments
   * counts once.
   */
  closed: Set<string>[]
  numbers: MissingNumbers[]
  leases: JournaledLeases
  opens: OpenReader
  ended: boolean
  end: Position
}

/**
 * Ends an epoch whose process has ended: each attempt without a CLOSE gets one, made from its OPEN and its last CHECKPOINT;
 * then the END. All of it is synced before this resolves, so it may be published. Ended by a kill itself, it is done again
 * and finds less to do. A torn end, which a power cut can leave, is cut off: nothing of it was ever published. Bytes with a
 * whole record behind them are no end but damage: they stay, and so do the numbers in them.
 *
 * Undefined: the segments hold no record at all (the process died while it made the first).
 */
export async function endEpoch(options: ReplayOptions): Promise<EndedEpoch | undefined> {
  const { directory, segments, log } = options
  const scan = await scanEpoch(options)
  const lastSegment = segments.at(-1)
  if (!scan || !lastSegment) return undefined
  const { header, open, numbers } = scan
  let { end } = scan
  if (!scan.ended) {
    const lines: RecordText[] = []
    const prefix = closePrefix(header.gateway_id, header.epoch)
    const unsettled = [...open.values()].flatMap(({ record }) => record ?? [])
    await options.releaseRun?.({ gatewayId: header.gateway_id, epoch: header.epoch, unsettled })
    for (const attempt of open.values()) {
      const { record, checkpoint, damagesBefore } = attempt
      if (checkpoint?.background) {
        // Closed as free before that is recorded, nobody would pay for it.
        if (!options.recordBackground) throw new Error('a background response cannot be recorded here')
        await options.recordBackground(checkpoint.background)
      }
      if (!record) continue
      const unrated = killedDraft(record, checkpoint)
      const draft = { ...unrated, ...(await options.rate(unrated, checkpoint?.parts)) }
      const held = await heldAtEnd(attempt, options)
      if (held) Object.assign(draft, settleKilledHolds(scan.leases, draft, held.holds, held.holder))
      const fitted = fitDraft(draft, bytes =>
        log.error({ eventId: draft.event_id, bytes }, 'event too large, only what it costs and who pays is kept'),
      )
      const partition = partitionOf(record.identity.project_id)
      const series = numbers[partition]
      // A number whose CLOSE is damaged may be published: given to an attempt that cannot have had it, it would hide its event.
      const seq = (damagesBefore < scan.damages ? series?.takeMissing() : series?.takeNext()) ?? 0
      lines.push(closeLine(prefix, partition, seq, fitted))
    }
    const endRecord: EndRecord = {
      last: numbers.map(series => series.last),
      ended_by: options.endedBy,
      at_ms: (options.now ?? Date.now)(),
    }
    lines.push({ type: recordType.end, json: JSON.stringify(endRecord) })
    end = append(lastSegment, end, lines)
    log.info(
      { gatewayId: header.gateway_id, epoch: header.epoch, killedAttempts: open.size },
      'journal of an ended run replayed',
    )
  }
  // No event can be made of these, so no record says later that it was done: each time, this says the same.
  for (const attempt of open.values()) {
    const held = attempt.record ? undefined : await heldAtEnd(attempt, options)
    if (held) scan.leases.settleKilled(attempt.event_id, held.holds, [], held.holder)
  }
  for (const [partition, series] of numbers.entries()) {
    if (series.count > 0)
      log.error(
        { gatewayId: header.gateway_id, epoch: header.epoch, partition, numbers: series.count },
        'journal is damaged: events are missing',
      )
  }
  return {
    directory,
    gatewayId: header.gateway_id,
    epoch: header.epoch,
    segments,
    end,
    before: header.last,
    last: numbers.map(series => series.last),
    leases: scan.leases.totals(),
  }
}

/** What an attempt without a CLOSE holds, and who has it from now on. */
async function heldAtEnd(
  attempt: OpenAttempt,
  { isBegun }: ReplayOptions,
): Promise<{ holds: readonly JournaledHold[]; holder: string | undefined } | undefined> {
  const { record, holder, checkpoint, money } = attempt
  if (!money) return undefined
  if (holder !== undefined && (await isBegun?.(attempt)) === false)
    return { holds: nothingUsed(money.holds), holder: undefined }
  const holds = record ? money.holds : unknownUse(money.holds)
  return { holds, holder: holder ?? checkpoint?.background?.held?.holder }
}

async function scanEpoch({ directory, segments, log }: ReplayOptions): Promise<Scan | undefined> {
  const first = segments[0]
  const last = segments.at(-1)
  if (!first || !last) return undefined
  const fileEnd = { segment: last.number, offset: statSync(last.path).size }
  const reader = new EpochReader({
    directory,
    epoch: first.epoch,
    from: first.number,
    limit: () => fileEnd,
    onDamage: (at, skippedBytes) => {
      log.error({ directory, epoch: first.epoch, at, skippedBytes }, 'journal damaged')
      damages++
    },
  })
  let damages = 0
  let scan: Scan | undefined
  try {
    for (let frames = await reader.next(); frames.length > 0; frames = await reader.next()) {
      for (const { type, json } of frames) {
        if (type === recordType.header) {
          const header = parse<HeaderRecord>(json)
          if (!journalFormats.includes(header.format)) throw new Error(`journal format ${header.format} is not known`)
          if (scan) scan.closed = [new Set(), ...scan.closed.slice(0, rememberedSegments - 1)]
          else scan = beginScan(header)
        }
        // Without its header nothing can be numbered; it is written and synced before all else.
        if (!scan) throw new Error(`${first.path} does not begin with a header`)
        if (type === recordType.lease) scan.leases.state(parse<LeaseTotals>(json))
        else if (type === recordType.open) {
          const { event_id, holder, holds, record, isWhole } = scan.opens.read(json.toString())
          if (!isWhole)
            log.error(
              { directory, epoch: first.epoch, eventId: event_id },
              'journal damaged: what an attempt refers to is lost',
            )
          if (holds) scan.leases.hold(holds)
          // Written twice, it may be legible the second time.
          const isKnown = scan.open.get(event_id)?.isWhole || scan.closed.some(closed => closed.has(event_id))
          if (!isKnown)
            scan.open.set(event_id, {
              event_id,
              ...(holder !== undefined && { holder }),
              record,
              isWhole,
              checkpoint: undefined,
              money: holds && new HeldMoney(holds),
              damagesBefore: damages,
            })
        } else if (type === recordType.extend) {
          const extension = parse<NumberedExtend>(json)
          scan.leases.hold(extension.holds)
          const attempt = scan.open.get(extension.event_id)
          if (attempt) {
            attempt.money ??= new HeldMoney([])
            attempt.money.extend(extension.number, extension.holds)
            attempt.damagesBefore = damages
          }
        } else if (type === recordType.checkpoint) {
          const checkpoint = parse<CheckpointRecord>(json)
          const attempt = scan.open.get(checkpoint.event_id)
          if (attempt) {
            attempt.checkpoint = checkpoint
            attempt.damagesBefore = damages
          }
        } else if (type === recordType.close) {
          const event = parse<UsageRecordedData>(json)
          scan.leases.hold(drawnHolds(event))
          scan.leases.settle(event.event_id, leaseTotalsOf(event), event.unresolved, event.handed)
          scan.open.delete(event.event_id)
          scan.closed[0]?.add(event.event_id)
          scan.numbers[event.partition]?.see(event.seq)
        } else if (type === recordType.end) scan.ended = true
      }
    }
    if (scan) Object.assign(scan, { end: reader.position, damages })
    return scan
  } finally {
    await reader.close()
  }
}

/** What an event says that it held, where it says so in short: what its OPEN said of that may be damaged. */
function drawnHolds({ gateway_id, epoch, drawn = [] }: UsageRecordedData): Omit<JournaledHold, 'unit'>[] {
  return drawn.map(([[budget_id, copy, window_start_ms], , parts]) => ({
    budget_id,
    copy,
    window_start_ms,
    parts: parts.map(([name, amount]) => [leaseIdOfName(gateway_id, epoch, name), amount]),
  }))
}

function beginScan(header: HeaderRecord): Scan {
  return {
    header,
    open: new Map(),
    damages: 0,
    closed: [new Set()],
    numbers: Array.from({ length: PARTITIONS }, (_, partition) => new MissingNumbers(header.last[partition] ?? 0)),
    leases: new JournaledLeases(header.epoch),
    opens: new OpenReader(header.gateway_id, header.epoch),
    ended: false,
    end: { segment: 0, offset: 0 },
  }
}

function parse<T>(json: Buffer): T {
  return JSON.parse(json.toString()) as T
}

/** Appends records behind the last whole one and syncs. @throws where the disk is full: replay is then done again later */
function append(segment: SegmentName, end: Position, records: readonly RecordText[]): Position {
  const fd = openSync(segment.path, 'r+')
  try {
    const writable = {
      number: segment.number,
      path: segment.path,
      fd,
      size: end.segment === segment.number ? end.offset : 0,
    }
    ftruncateSync(fd, writable.size)
    const frames = encodeFrames(records)
    writeRecord(writable, nodeIo, frames, 0, frames.length)
    fdatasyncSync(fd)
    return { segment: segment.number, offset: writable.size }
  } finally {
    closeSync(fd)
  }
}
