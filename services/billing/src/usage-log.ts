import { type SeriesRange, UsageLogBatch, type UsageRecordedData } from '@sluice/contracts'

/** A batch of the usage log with its lines as they came. */
export interface LogBatch extends SeriesRange {
  batchId: string
  postedAtMs: number
  /** The events first..last, one a line. */
  text: string
}

/** Which batches of the log: all conditions that are named must hold. */
export interface LogQuery {
  /** Behind this batch. */
  after: bigint
  /** Posting days, both included, `YYYY-MM-DD`. */
  firstDay?: string
  lastDay?: string
  /** What overlaps this range. */
  range?: SeriesRange
}

/** Batches in the order in which they were posted. */
export interface LogPage {
  batches: LogBatch[]
  /** Where the next page begins; undefined: there is none. */
  next: string | undefined
}

/** The UTC day of a time, as the log is cut. */
export function postingDay(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}

/** The time in an event id, where it has one (UUIDv7). */
export function timeOfEventId(eventId: string): number | undefined {
  return eventId[14] === '7' ? Number.parseInt(eventId.slice(0, 8) + eventId.slice(9, 13), 16) : undefined
}

/** The header line of a batch, then its own lines: those of the batch, whatever they hold. */
export function linesOf(batch: LogBatch): string[] {
  const { batchId, gatewayId, epoch, partition, first, last, postedAtMs, text } = batch
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const header = { batch: batchId, gateway_id: gatewayId, epoch, partition, first, last, posted_at_ms: postedAtMs }
  return [UsageLogBatch.encode(header), ...lines]
}

/** Line and number of an event in the lines of a batch. */
export function findLine(batch: Pick<LogBatch, 'first' | 'text'>, eventId: string): { seq: number; text: string }[] {
  if (!batch.text.includes(eventId)) return []
  return batch.text.split('\n').flatMap((text, index) => {
    if (!text.includes(eventId)) return []
    const { event_id: id } = parseLine(text)
    return id === eventId ? [{ seq: batch.first + index, text }] : []
  })
}

function parseLine(text: string): Partial<UsageRecordedData> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
