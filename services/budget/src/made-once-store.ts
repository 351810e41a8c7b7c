import type { Kysely, Transaction } from '@sluice/postgres'
import { errorOf } from '@sluice/runtime'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'
import { errors } from './errors.ts'

/** How a caller names what it makes, so that the same request again makes nothing. */
export interface MakingOnce {
  accountId: string
  callerId: string
  idempotencyKey: string
  requestHash: string
}

/**
 * Names what is about to be made. Another transaction that holds the name is waited for: it may yet fail, and then this one is the first.
 * @returns the id of what was made under this name: another than `id` where that was before
 * @throws AppError 409 where the name came with another request
 */
export async function claimMaking(
  trx: Transaction<BudgetTables>,
  making: MakingOnce,
  id: string,
  nowMs: number,
): Promise<string> {
  const claimed = await trx
    .insertInto('made_once')
    .values({
      caller_id: making.callerId,
      idempotency_key: making.idempotencyKey,
      account_id: making.accountId,
      request_hash: making.requestHash,
      made_id: id,
      made_at_ms: nowMs,
    })
    .onConflict(conflict => conflict.columns(['caller_id', 'idempotency_key']).doNothing())
    .returning('made_id')
    .executeTakeFirst()
  if (claimed) return claimed.made_id
  const first = await trx
    .selectFrom('made_once')
    .select(['request_hash', 'made_id'])
    .where('caller_id', '=', making.callerId)
    .where('idempotency_key', '=', making.idempotencyKey)
    .executeTakeFirst()
  if (first?.request_hash !== making.requestHash) throw errorOf(errors.idempotencyKeyReused)
  return first.made_id
}

/** Forgets names given before `beforeMs`. @returns how many; call again while it is `most` */
export async function pruneMakings(db: Kysely<BudgetTables>, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from made_once where ctid = any(array(
    select ctid from made_once where made_at_ms < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}
