import {
  ContractError,
  type GatewayEpochClosedData,
  type SeriesRange,
  seriesKey,
  UsageAdjusted,
  type UsageAdjustedData,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import type { DeadLetter } from './dead-letter-store.ts'

/** A message of stream USAGE, read as far as its headers go. */
export type UsageMessage = { streamSeq: number; subject: string } & (
  | { kind: 'recorded'; range: SeriesRange; body: Uint8Array }
  | { kind: 'adjusted'; adjustment: UsageAdjustedData }
  | { kind: 'epoch-closed'; closed: GatewayEpochClosedData }
  | { kind: 'unreadable'; reason: string; body: Uint8Array }
  /** Can be read, and cannot be stored: its numbers are known and count as received. */
  | { kind: 'refused'; range: SeriesRange; reason: string; body: Uint8Array }
)

const text = new TextDecoder()

/**
 * The events of those sub-ranges of a message that are new. What cannot be decoded comes back as dead letters: its numbers
 * count as received, so that one bad event never holds up a series.
 */
export function decodeEvents(
  message: Extract<UsageMessage, { kind: 'recorded' }>,
  fresh: readonly { first: number; last: number }[],
): { events: UsageRecordedData[]; letters: DeadLetter[] } {
  const { range, body } = message
  const letterOf = (first: number, last: number, reason: string, content: Uint8Array): DeadLetter => ({
    streamSeq: message.streamSeq,
    subject: message.subject,
    series: seriesKey(range),
    first,
    last,
    reason,
    content,
  })
  const lines = linesOf(body)
  const wanted = range.last - range.first + 1
  if (lines.length !== wanted) {
    const reason = `the headers name ${wanted} events, the body has ${lines.length}`
    return { events: [], letters: fresh.map(({ first, last }) => letterOf(first, last, reason, body)) }
  }
  const events: UsageRecordedData[] = []
  const letters: DeadLetter[] = []
  for (const { first, last } of fresh) {
    for (let number = first; number <= last; number++) {
      const line = lines[number - range.first] ?? ''
      try {
        const event = UsageRecorded.decode(line)
        checkPlace(event, range, number)
        events.push(event)
      } catch (error) {
        if (!(error instanceof ContractError)) throw error
        letters.push(letterOf(number, number, error.message, Buffer.from(line)))
      }
    }
  }
  return { events, letters }
}

/** What a dead letter carries, if it can be decoded now; undefined where it still cannot. */
export function readDeadLetter(
  letter: DeadLetter,
): { events: UsageRecordedData[]; adjustments: UsageAdjustedData[] } | undefined {
  try {
    if (letter.subject === UsageAdjusted.subject())
      return { events: [], adjustments: [UsageAdjusted.decode(letter.content)] }
    const lines = linesOf(letter.content).filter(line => line !== '')
    return lines.length === 0 ? undefined : { events: lines.map(line => UsageRecorded.decode(line)), adjustments: [] }
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return undefined
  }
}

function checkPlace(event: UsageRecordedData, range: SeriesRange, number: number): void {
  const place = { gatewayId: event.gateway_id, epoch: event.epoch, partition: event.partition }
  if (event.seq !== number || seriesKey(place) !== seriesKey(range))
    throw new ContractError(`the event says ${seriesKey(place)} number ${event.seq}, the headers ${number}`)
}

function linesOf(body: Uint8Array): string[] {
  const lines = text.decode(body).split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}
