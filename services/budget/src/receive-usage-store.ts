import { adjustmentSeries, type Series, seriesKey, type UsageRecordedData } from '@sluice/contracts'
import { openMarks, type Statement, seriesOfEpoch, type Transaction } from '@sluice/postgres'
import type { PlacedAdjustment } from './count-spend-store.ts'
import type { BudgetTables } from './db/schema.ts'
import type { DeadLetter } from './dead-letter-store.ts'
import { advancePositions } from './series-position-store.ts'
import { decodeEvents, type UsageMessage } from './usage-message.ts'

/**
 * Locks the marks of the messages' series, and sorts out what is new of them. `saves` write the marks, last in the
 * transaction.
 */
export async function receiveMessages(trx: Transaction<BudgetTables>, messages: readonly UsageMessage[]) {
  const marks = await openMarks(trx, messages.flatMap(seriesOf))
  const events: UsageRecordedData[] = []
  const adjustments: PlacedAdjustment[] = []
  const letters: DeadLetter[] = []
  const positions = new Map<string, number>()
  for (const message of messages) {
    for (const series of seriesOf(message)) positions.set(seriesKey(series), message.streamSeq)
    switch (message.kind) {
      case 'recorded': {
        const { range } = message
        const decoded = decodeEvents(message, marks.receive(range, range.first, range.last))
        events.push(...decoded.events)
        letters.push(...decoded.letters)
        break
      }
      case 'adjusted': {
        const { adjustment } = message
        const letter = letterOf(
          message,
          seriesKey(adjustmentSeries),
          adjustment.seq,
          Buffer.from(JSON.stringify(adjustment)),
        )
        const isNew = marks.receive(adjustmentSeries, adjustment.seq, adjustment.seq).length > 0
        if (isNew) adjustments.push({ ...adjustment, letter })
        break
      }
      case 'epoch-closed':
        marks.close(message.closed)
        break
      case 'refused': {
        const { range, reason, body } = message
        for (const { first, last } of marks.receive(range, range.first, range.last))
          letters.push({ ...letterOf(message, seriesKey(range), first, body), last, reason })
        break
      }
      case 'unreadable':
        letters.push({
          ...letterOf(message, undefined, undefined, message.body),
          reason: message.reason,
        })
    }
  }
  return {
    events,
    adjustments,
    letters,
    saves: (): Statement<unknown>[] => {
      const gapFree = marks.changed().filter(({ last, contiguous }) => contiguous === last)
      const reached = gapFree.map(({ series }) => [seriesKey(series), positions.get(seriesKey(series)) ?? 0] as const)
      return [...(reached.length === 0 ? [] : [advancePositions(new Map(reached))]), ...marks.saves()]
    },
  }
}

function seriesOf(message: UsageMessage): Series[] {
  switch (message.kind) {
    case 'recorded':
    case 'refused':
      return [message.range]
    case 'adjusted':
      return [adjustmentSeries]
    case 'epoch-closed':
      return seriesOfEpoch(message.closed)
    case 'unreadable':
      return []
  }
}

function letterOf(
  message: UsageMessage,
  series: string | undefined,
  number: number | undefined,
  content: Uint8Array,
): DeadLetter {
  return {
    streamSeq: message.streamSeq,
    subject: message.subject,
    series,
    first: number,
    last: number,
    reason: '',
    content,
  }
}
