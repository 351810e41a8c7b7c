import type { Envelope } from '@sluice/contracts'
import type { Db } from './db/schema.ts'

/** Whose answer, by which key of theirs. */
export interface KeptAnswerName {
  accountId: string
  callerId: string
  idempotencyKey: string
}

/**
 * Claims a key for a request; false where it was claimed before. A claim that another transaction holds is waited for: it
 * may yet fail, and then this one is the first.
 */
export async function claimAnswer(db: Db, name: KeptAnswerName, requestHash: string, at: Date): Promise<boolean> {
  const row = await db
    .insertInto('kept_answers')
    .values({
      account_id: name.accountId,
      caller_id: name.callerId,
      idempotency_key: name.idempotencyKey,
      request_hash: requestHash,
      envelope: null,
      created_at: at,
    })
    .onConflict(conflict => conflict.columns(['caller_id', 'idempotency_key']).doNothing())
    .returning('caller_id')
    .executeTakeFirst()
  return row !== undefined
}

export async function keepAnswer(db: Db, name: KeptAnswerName, envelope: Envelope): Promise<void> {
  await db
    .updateTable('kept_answers')
    .set({ envelope: JSON.stringify(envelope) })
    .where('caller_id', '=', name.callerId)
    .where('idempotency_key', '=', name.idempotencyKey)
    .execute()
}

export function findAnswer(
  db: Db,
  name: KeptAnswerName,
): Promise<{ request_hash: string; envelope: Envelope | null } | undefined> {
  return db
    .selectFrom('kept_answers')
    .select(['request_hash', 'envelope'])
    .where('caller_id', '=', name.callerId)
    .where('idempotency_key', '=', name.idempotencyKey)
    .executeTakeFirst()
}

export async function deleteAnswers(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('kept_answers').where('created_at', '<', before).execute()
}
