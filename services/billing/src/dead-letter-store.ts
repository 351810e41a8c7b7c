import { createHash } from 'node:crypto'
import { ContractError, type SeriesRange, seriesKey, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import { isDataError, type Kysely, storableText, type Transaction, transact, wasDiscarded } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import { type CheckRating, postEvents } from './event-posting-store.ts'

/** Received and not applied. */
export interface DeadLetter {
  range: SeriesRange | undefined
  reason: string
  content: Uint8Array
}

/** A letter as operators see it: where it belongs and why it was not applied, never what is in it. */
export interface DeadLetterSummary {
  dead_letter_id: string
  gateway_id: string | null
  epoch: string | null
  partition: number | null
  first: string | null
  last: string | null
  reason: string
  received_at: Date
}

export type ReplayOutcome = 'posted' | 'unknown' | 'unreadable'

export interface DeadLetterStore {
  count(): Promise<number>
  /** Oldest first. */
  list(limit: number): Promise<DeadLetterSummary[]>
  /** The price books that a letter's event names; none where it, or its price book's name, cannot be read. */
  findPriceBookIds(deadLetterId: string): Promise<string[]>
  /**
   * Posts the event of a letter that can be read by now, past the marks, since its number counts as received, and deletes
   * the letter in the same transaction. Only single events: whole messages whose lines could not be told apart stay.
   */
  replay(deadLetterId: string, checkRating: CheckRating): Promise<ReplayOutcome>
}

export function deadLetterStore(db: Kysely<Tables>): DeadLetterStore {
  return {
    async count() {
      const { rows } = await sql<{ count: number }>`select count(*)::int as count from dead_letters`.execute(db)
      return rows[0]?.count ?? 0
    },
    list: limit =>
      db
        .selectFrom('dead_letters')
        .select(['dead_letter_id', 'gateway_id', 'epoch', 'partition', 'first', 'last', 'reason', 'received_at'])
        .orderBy('dead_letter_id')
        .limit(limit)
        .execute(),
    async findPriceBookIds(deadLetterId) {
      const row = await db
        .selectFrom('dead_letters')
        .select('content')
        .where('dead_letter_id', '=', deadLetterId)
        .executeTakeFirst()
      const event = row && readEvent(row.content)
      return [event?.price_book_id, event?.override_price_book_id]
        .filter(id => id !== undefined)
        .filter(id => id === storableText(id))
    },
    replay: (deadLetterId, checkRating) =>
      transact(db, async trx => {
        const letter = await trx
          .selectFrom('dead_letters')
          .select(['gateway_id', 'epoch', 'partition', 'first', 'last', 'content'])
          .where('dead_letter_id', '=', deadLetterId)
          .forUpdate()
          .executeTakeFirst()
        if (!letter) return 'unknown'
        const event = readEvent(letter.content)
        const isInPlace =
          letter.first === letter.last && String(event?.seq) === letter.first && event?.gateway_id === letter.gateway_id
        const batch = await trx
          .selectFrom('usage_batches')
          .innerJoin('usage_series', 'usage_series.series_no', 'usage_batches.series_no')
          .select('batch_id')
          .where('gateway_id', '=', letter.gateway_id)
          .where('epoch', '=', letter.epoch)
          .where('partition', '=', letter.partition)
          .where('first', '<=', letter.first)
          .where('last', '>=', letter.last)
          .executeTakeFirst()
        if (!event || !isInPlace || !batch) return 'unreadable'
        const group = { batchId: batch.batch_id, reference: `dead letter ${deadLetterId}`, events: [event] }
        await postEvents(trx, [group], checkRating)
        await trx.deleteFrom('dead_letters').where('dead_letter_id', '=', deadLetterId).execute()
        return 'posted' as const
      }).catch((error: unknown): ReplayOutcome => {
        if (isDataError(error)) return 'unreadable'
        throw error
      }),
  }
}

function readEvent(content: Uint8Array): UsageRecordedData | undefined {
  try {
    return UsageRecorded.decode(content)
  } catch (error) {
    if (error instanceof ContractError) return undefined
    throw error
  }
}

/** Keeps letters in the caller's transaction; the same letter delivered again is the same row. */
export async function insertDeadLetters(trx: Transaction<Tables>, letters: readonly DeadLetter[]): Promise<void> {
  for (const { range, reason, content } of letters) {
    if (!range && (await wasDiscarded(trx, content))) continue
    const fingerprint = createHash('sha256')
      .update(range ? `${seriesKey(range)}.${range.first}-${range.last}\n` : '\n')
      .update(content)
      .digest('hex')
    await trx
      .insertInto('dead_letters')
      .values({
        fingerprint,
        gateway_id: range?.gatewayId ?? null,
        epoch: range?.epoch ?? null,
        partition: range?.partition ?? null,
        first: range?.first ?? null,
        last: range?.last ?? null,
        reason: storableText(reason),
        content: Buffer.from(content),
      })
      .onConflict(conflict => conflict.doNothing())
      .execute()
  }
}

/** Says whether a store refuses a row for what is in it: trying again cannot help. */
export const isRefusedForGood = isDataError
