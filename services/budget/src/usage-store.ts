import type { windowAt } from '@sluice/leases'
import { isDataError, type Kysely, type Transaction, transact } from '@sluice/postgres'
import { type CountedSpend, countSpend } from './count-spend-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { deleteDeadLetter, insertDeadLetters, lockDeadLetter } from './dead-letter-store.ts'
import { receiveMessages } from './receive-usage-store.ts'
import { readDeadLetter, type UsageMessage } from './usage-message.ts'

/** What a batch has changed, for whoever tells others after the commit. */
export interface AppliedUsage extends CountedSpend {
  events: number
  deadLetters: number
}

/**
 * Applies messages in one transaction: marks → new events → facts → sums of windows → crossings. Marks and sums commit
 * together, so redelivery, in whatever borders, finds nothing new.
 */
export function applyUsage(
  db: Kysely<BudgetTables>,
  messages: readonly UsageMessage[],
  findWindow: typeof windowAt,
  nowMs: number,
): Promise<AppliedUsage> {
  return transact(db, async (trx, withCommit) => {
    const received = await receiveMessages(trx, messages)
    const spend = await countSpend({ trx, withCommit }, received.events, received.adjustments, findWindow, nowMs)
    const letters = [...received.letters, ...spend.letters]
    await insertDeadLetters(trx, letters, nowMs)
    withCommit(received.saves())
    return { ...spend, events: received.events.length, deadLetters: letters.length }
  })
}

/** What became of a dead letter. */
export type Replay = { outcome: 'applied'; spend: CountedSpend } | { outcome: 'unknown' | 'still-dead' }

/**
 * Counts a dead letter and deletes it, in one transaction, once its cause is gone. Its numbers were received long ago, so the
 * marks are not asked; facts and settlement keys still keep it from counting twice.
 */
export function replayDeadLetter(
  db: Kysely<BudgetTables>,
  id: string,
  findWindow: typeof windowAt,
  nowMs: number,
): Promise<Replay> {
  return transact(db, async (trx: Transaction<BudgetTables>, withCommit): Promise<Replay> => {
    const letter = await lockDeadLetter(trx, id)
    if (!letter) return { outcome: 'unknown' }
    const read = readDeadLetter(letter)
    if (!read) return { outcome: 'still-dead' }
    const adjustments = read.adjustments.map(adjustment => ({ ...adjustment, letter }))
    const spend = await countSpend({ trx, withCommit }, read.events, adjustments, findWindow, nowMs)
    if (spend.letters.length > 0) return { outcome: 'still-dead' }
    await deleteDeadLetter(trx, id)
    return { outcome: 'applied', spend }
  }).catch((error: unknown): Replay => {
    if (isDataError(error)) return { outcome: 'still-dead' }
    throw error
  })
}
