import {
  adjustmentSeries,
  type GatewayEpochClosedData,
  type Series,
  type SeriesRange,
  seriesKey,
  type UsageAdjustedData,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import type { windowAt } from '@sluice/leases'
import { type Kysely, openMarks, seriesOfEpoch, transact } from '@sluice/postgres'
import { type CountedSpend, countSpend } from './count-spend-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { type DeadLetter, insertDeadLetters } from './dead-letter-store.ts'
import { decodeEvents } from './usage-message.ts'

/** A batch of the usage log. */
export interface LoggedBatch {
  range: SeriesRange
  /** An event a line. */
  body: Uint8Array
}

/**
 * Counts batches of the usage log again, whatever the marks say: a fact that is there and a settlement key that is taken keep
 * an event from counting twice. Marks are brought up to them, so that the stream brings nothing of it again.
 */
export function countAgain(
  db: Kysely<BudgetTables>,
  batches: readonly LoggedBatch[],
  findWindow: typeof windowAt,
  nowMs: number,
  forgottenBeforeMs: number,
): Promise<CountedSpend> {
  return transact(db, async (trx, withCommit) => {
    const marks = await openMarks(
      trx,
      batches.map(({ range }) => range),
    )
    const events: UsageRecordedData[] = []
    const letters: DeadLetter[] = []
    for (const { range, body } of batches) {
      const message = {
        kind: 'recorded' as const,
        streamSeq: 0,
        subject: UsageRecorded.subject(range.partition),
        range,
        body,
      }
      const decoded = decodeEvents(message, [range])
      // What is older than facts are kept was counted and forgotten.
      events.push(...decoded.events.filter(event => event.admitted_at_ms >= forgottenBeforeMs))
      const fresh = marks.receive(range, range.first, range.last)
      const isNew = (seq: number) => fresh.some(part => part.first <= seq && seq <= part.last)
      letters.push(...decoded.letters.filter(letter => letter.first !== undefined && isNew(letter.first)))
    }
    const spend = await countSpend({ trx, withCommit }, events, [], findWindow, nowMs)
    await insertDeadLetters(trx, letters, nowMs)
    await marks.save()
    return spend
  })
}

/** Applies corrections of the log again: one whose version a fact has already changes nothing. */
export function adjustAgain(
  db: Kysely<BudgetTables>,
  adjustments: readonly UsageAdjustedData[],
  findWindow: typeof windowAt,
  nowMs: number,
): Promise<CountedSpend> {
  return transact(db, async (trx, withCommit) => {
    const marks = await openMarks(trx, [adjustmentSeries])
    for (const { seq } of adjustments) marks.receive(adjustmentSeries, seq, seq)
    const letter: DeadLetter = {
      streamSeq: 0,
      subject: '',
      series: seriesKey(adjustmentSeries),
      first: undefined,
      last: undefined,
      reason: '',
      content: Buffer.alloc(0),
    }
    const placed = adjustments.map(adjustment => ({ ...adjustment, letter }))
    // One of an event that is no fact here adjusts what was forgotten long ago.
    const spend = await countSpend({ trx, withCommit }, [], placed, findWindow, nowMs)
    await marks.save()
    return { ...spend, letters: [] }
  })
}

/** Notes ends of epochs. */
export function closeEpochs(db: Kysely<BudgetTables>, closed: readonly GatewayEpochClosedData[]): Promise<void> {
  return transact(db, async trx => {
    const series: Series[] = closed.flatMap(seriesOfEpoch)
    const marks = await openMarks(trx, series)
    for (const epoch of closed) marks.close(epoch)
    await marks.save()
  })
}
