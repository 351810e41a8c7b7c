import { adjustmentSeries, type Series, seriesKey } from '@sluice/contracts'
import { type Kysely, openMarks, seriesOfEpoch, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import type { AnalyticsTables } from './db/schema.ts'
import {
  type InsertOutcome,
  keepOwnSettlements,
  postponeAdjustments,
  touchHours,
  writeDeadLetters,
} from './insert-log-store.ts'
import type { UsageMessage } from './usage-message.ts'
import type { FreshUsage } from './usage-run.ts'

/**
 * The record of what was inserted again from the usage log: everything of a page, whatever the marks say, since ClickHouse may
 * have lost what they know. A row that is there is replaced by itself.
 */
export interface RebuildLogStore {
  /** What of a page belongs into the tables: not an event whose settlement key another one owns. */
  begin: (messages: readonly UsageMessage[]) => Promise<FreshUsage>
  /** After the insert: marks (so that the stream brings nothing again), dead letters that are new, hours to recompute. */
  finish: (messages: readonly UsageMessage[], outcome: InsertOutcome) => Promise<void>
  /** Whether hours that wait now are still waiting: `touched` is what `lastTouch` said. */
  countDirtyHours: (touched: string) => Promise<number>
  lastTouch: () => Promise<string>
}

/** Rows and dead letters of the log are apart from those of the stream. */
const stream = 'LOG'

export function rebuildLogStore(db: Kysely<AnalyticsTables>): RebuildLogStore {
  return {
    begin: messages =>
      transact(db, trx => {
        const fresh: FreshUsage = { recorded: [], adjusted: [] }
        for (const message of messages) {
          if (message.kind === 'recorded')
            for (const event of message.events) fresh.recorded.push({ event, streamSeq: 0 })
          if (message.kind === 'adjusted' && !message.dead)
            fresh.adjusted.push({ adjusted: message.adjusted, streamSeq: 0 })
        }
        return keepOwnSettlements(trx, fresh)
      }),

    finish: (messages, outcome) =>
      transact(db, async trx => {
        const marks = await openMarks(trx, messages.flatMap(seriesOf))
        for (const message of messages) {
          if (message.kind === 'closed') marks.close(message.closed)
          if (message.kind === 'adjusted') marks.receive(adjustmentSeries, message.adjusted.seq, message.adjusted.seq)
          if (message.kind !== 'recorded') continue
          const { range, streamSeq } = message
          const ranges = marks.receive(range, range.first, range.last)
          const isNew = (seq: number) => ranges.some(part => part.first <= seq && seq <= part.last)
          const dead = message.dead.filter(line => line.seq !== undefined && isNew(line.seq))
          await writeDeadLetters(
            trx,
            dead.map(line => ({ ...line, streamSeq, series: seriesKey(range) })),
            stream,
          )
        }
        await postponeAdjustments(trx, outcome)
        await touchHours(trx, outcome.dirtyHours)
        await marks.save()
      }),

    countDirtyHours: async touched => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::int as count from dirty_hours where touched <= ${touched}`.execute(db)
      return rows[0]?.count ?? 0
    },
    lastTouch: async () => {
      const { rows } = await sql<{ last: string }>`select last_value as last from dirty_hours_touched`.execute(db)
      return rows[0]?.last ?? '0'
    },
  }
}

function seriesOf(message: UsageMessage): Series[] {
  if (message.kind === 'recorded') return [message.range]
  if (message.kind === 'adjusted') return [adjustmentSeries]
  return message.kind === 'closed' ? seriesOfEpoch(message.closed) : []
}
