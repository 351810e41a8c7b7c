import { isDataError, type Kysely, storableText, type Transaction, wasDiscarded } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

/** A message, or a part of one, that cannot be applied. Usage events hold no prompts, so the content may be kept. */
export interface DeadLetter {
  streamSeq: number
  subject: string
  series: string | undefined
  first: number | undefined
  last: number | undefined
  reason: string
  /** As it came, whatever is in it. */
  content: Uint8Array
}

export async function insertDeadLetters(
  trx: Transaction<BudgetTables>,
  received: readonly DeadLetter[],
  nowMs: number,
): Promise<void> {
  const letters: DeadLetter[] = []
  for (const letter of received)
    if (letter.series !== undefined || !(await wasDiscarded(trx, letter.content))) letters.push(letter)
  if (letters.length === 0) return
  await trx
    .insertInto('dead_letters')
    .values(
      letters.map(letter => ({
        stream_seq: letter.streamSeq,
        subject: letter.subject,
        series: letter.series ?? null,
        first: letter.first ?? null,
        last: letter.last ?? null,
        reason: storableText(letter.reason),
        content: Buffer.from(letter.content),
        created_at_ms: nowMs,
      })),
    )
    .onConflict(conflict => conflict.doNothing())
    .execute()
}

/** One line of the operators' list. */
export interface DeadLetterSummary {
  id: string
  stream_seq: number
  subject: string
  series: string | null
  first: number | null
  last: number | null
  reason: string
}

export async function listDeadLetters(db: Kysely<BudgetTables>, most: number): Promise<DeadLetterSummary[]> {
  const rows = await db
    .selectFrom('dead_letters')
    .select(['id', 'stream_seq', 'subject', 'series', 'first', 'last', 'reason'])
    .orderBy('id')
    .limit(most)
    .execute()
  return rows.map(row => ({
    ...row,
    stream_seq: Number(row.stream_seq),
    first: row.first === null ? null : Number(row.first),
    last: row.last === null ? null : Number(row.last),
  }))
}

export async function countDeadLetters(db: Kysely<BudgetTables>): Promise<number> {
  const { rows } = await sql<{ count: string }>`select count(*) as count from dead_letters`.execute(db)
  return Number(rows[0]?.count ?? 0)
}

/** A dead letter, locked; undefined where there is none of this id. */
export async function lockDeadLetter(trx: Transaction<BudgetTables>, id: string): Promise<DeadLetter | undefined> {
  const row = await trx.selectFrom('dead_letters').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()
  return (
    row && {
      streamSeq: Number(row.stream_seq),
      subject: row.subject,
      series: row.series ?? undefined,
      first: row.first === null ? undefined : Number(row.first),
      last: row.last === null ? undefined : Number(row.last),
      reason: row.reason,
      content: row.content,
    }
  )
}

export async function deleteDeadLetter(trx: Transaction<BudgetTables>, id: string): Promise<void> {
  await trx.deleteFrom('dead_letters').where('id', '=', id).execute()
}

/** Says whether a store refuses a row for what is in it: trying again cannot help. */
export const isRefusedForGood = isDataError
