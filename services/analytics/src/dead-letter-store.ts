import { isClickhouseDataError } from '@sluice/clickhouse'
import { isDataError, storableText, wasDiscarded } from '@sluice/postgres'
import type { Kysely } from 'kysely'
import type { AnalyticsTables } from './db/schema.ts'

/** A message that could not be applied. */
export interface DeadMessage {
  stream: string
  streamSeq: number
  reason: string
  content: Uint8Array
}

/** A dead letter as operators see it, without its content. */
export interface DeadLetterSummary {
  id: string
  stream: string
  stream_seq: string
  line: number
  series: string
  seq: string | null
  reason: string
  received_at: Date
}

export interface DeadLetterStore {
  /** Keeps a message once. */
  keepDeadLetter: (message: DeadMessage) => Promise<void>
  /** The oldest first. */
  listDeadLetters: (limit: number) => Promise<DeadLetterSummary[]>
  countDeadLetters: () => Promise<number>
  /** Where a letter belongs and what it says; undefined: no such letter, or not a line of a series. */
  findLine: (id: string) => Promise<{ series: string; seq: number; content: Uint8Array } | undefined>
}

export function deadLetterStore(db: Kysely<AnalyticsTables>): DeadLetterStore {
  return {
    keepDeadLetter: async message => {
      if (await wasDiscarded(db, message.content)) return
      await db
        .insertInto('dead_letters')
        .values({
          stream: message.stream,
          stream_seq: `${message.streamSeq}`,
          line: 0,
          series: '',
          seq: null,
          reason: storableText(message.reason),
          content: Buffer.from(message.content),
        })
        .onConflict(conflict => conflict.columns(['stream', 'stream_seq', 'line']).doNothing())
        .execute()
    },
    listDeadLetters: limit =>
      db
        .selectFrom('dead_letters')
        .select(['id', 'stream', 'stream_seq', 'line', 'series', 'seq', 'reason', 'received_at'])
        .orderBy('id')
        .limit(limit)
        .execute(),
    findLine: async id => {
      const row = await db
        .selectFrom('dead_letters')
        .select(['series', 'seq', 'content'])
        .where('id', '=', id)
        .where('seq', 'is not', null)
        .executeTakeFirst()
      return row?.seq == null ? undefined : { series: row.series, seq: Number(row.seq), content: row.content }
    },
    countDeadLetters: async () => {
      const row = await db
        .selectFrom('dead_letters')
        .select(eb => eb.fn.countAll<string>().as('count'))
        .executeTakeFirstOrThrow()
      return Number(row.count)
    },
  }
}

/** Says whether PostgreSQL refuses a row for what is in it: trying again cannot help. */
export const isRefusedForGood = isDataError

/** The same of ClickHouse. */
export const isRefusedByClickhouse = isClickhouseDataError
