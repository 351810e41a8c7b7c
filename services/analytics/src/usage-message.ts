import {
  ContractError,
  GatewayEpochClosed,
  type GatewayEpochClosedData,
  rangeFromHeaders,
  type Series,
  type SeriesRange,
  seriesKey,
  UsageAdjusted,
  type UsageAdjustedData,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import { isPlausibleTime } from './usage-row.ts'

/** A message of stream USAGE as it lies there. */
export interface RawMessage {
  seq: number
  subject: string
  header: (name: string) => string
  data: Uint8Array
}

/** A line that cannot be applied. It counts as received. */
export interface DeadLine {
  /** Number in its series; absent where the message does not say. */
  seq?: number
  line: number
  reason: string
  /** As it came, whatever is in it. */
  content: Uint8Array
}

/** A message of stream USAGE, read. */
export type UsageMessage =
  | RecordedMessage
  | { kind: 'adjusted'; streamSeq: number; adjusted: UsageAdjustedData; dead?: DeadLine }
  | { kind: 'closed'; streamSeq: number; closed: GatewayEpochClosedData }
  | { kind: 'unreadable'; streamSeq: number; dead: DeadLine }

export interface RecordedMessage {
  kind: 'recorded'
  streamSeq: number
  range: SeriesRange
  /** Line of the message's body that holds the first number. */
  firstLine: number
  events: UsageRecordedData[]
  dead: DeadLine[]
}

/** Reads a message. What does not match its contract becomes dead lines: this never throws for a message's content. */
export function readUsageMessage(message: RawMessage): UsageMessage {
  const streamSeq = message.seq
  const text = new TextDecoder().decode(message.data)
  try {
    if (message.subject === UsageAdjusted.subject()) return readAdjusted(text, streamSeq)
    if (message.subject === GatewayEpochClosed.subject())
      return { kind: 'closed', streamSeq, closed: GatewayEpochClosed.decode(text) }
    return readRecorded(rangeFromHeaders(message.header), text, streamSeq)
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return { kind: 'unreadable', streamSeq, dead: { line: 0, reason: error.message, content: message.data } }
  }
}

function readAdjusted(text: string, streamSeq: number): UsageMessage {
  const adjusted = UsageAdjusted.decode(text)
  requirePlausibleTime(adjusted.admitted_at_ms, 'admitted_at_ms')
  return { kind: 'adjusted', streamSeq, adjusted }
}

function readRecorded(range: SeriesRange, text: string, streamSeq: number): UsageMessage {
  const message: RecordedMessage = { kind: 'recorded', streamSeq, range, firstLine: 0, events: [], dead: [] }
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const expected = range.last - range.first + 1
  if (lines.length !== expected) throw new ContractError(`${lines.length} lines for a range of ${expected} events`)
  for (const [line, content] of lines.entries()) {
    const seq = range.first + line
    try {
      message.events.push(readLine(content, { ...range, seq }))
    } catch (error) {
      if (!(error instanceof ContractError)) throw error
      message.dead.push({ seq, line, reason: error.message, content: Buffer.from(content) })
    }
  }
  return message
}

/** Reads one line of a message. @throws ContractError where it is not the event of this number, or is no event at all */
export function readLine(content: string | Uint8Array, expected: Series & { seq: number }): UsageRecordedData {
  const event = UsageRecorded.decode(content)
  const series = { gatewayId: event.gateway_id, epoch: event.epoch, partition: event.partition }
  if (seriesKey(series) !== seriesKey(expected) || event.seq !== expected.seq)
    throw new ContractError('the event names another series or number than the headers of its message')
  requirePlausibleTime(event.admitted_at_ms, 'admitted_at_ms')
  requirePlausibleTime(event.finished_at_ms, 'finished_at_ms')
  return event
}

function requirePlausibleTime(ms: number, field: string): void {
  if (!isPlausibleTime(ms)) throw new ContractError(`/${field} is not a plausible time`)
}
