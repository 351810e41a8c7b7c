import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import { errorOf } from '@sluice/runtime'
import { sql } from 'kysely'
import { type Author, tellTrail } from './audit-trail-store.ts'
import type { Tables } from './db/schema.ts'
import { billingErrors } from './errors.ts'
import { creditEntries } from './ledger.ts'
import { settleBalances } from './prepaid-store.ts'

/** Money that a project may spend, as somebody has posted it. */
export interface CreditDraft {
  projectId: string
  accountId: string
  /** Below zero: one is taken back. */
  amount: bigint
  reason: string
  by: Author
  idempotencyKey: string | undefined
  requestHash: string
}

export interface Credit {
  transactionId: string
  amount: bigint
  reason: string
  actor: string
  fromAddress: string
  postedAt: Date
}

/**
 * Posts a credit: double entry, who and why, and the word that there is money again, in one transaction. The same request again under its
 * key posts nothing. @throws AppError 409 where the key came with another request
 */
export function postCredit(db: Kysely<Tables>, draft: CreditDraft): Promise<Credit> {
  return transact(db, async trx => {
    const { projectId, accountId, amount, by, reason, idempotencyKey } = draft
    const actor = `${by.kind} ${by.id}`
    const entries = creditEntries(projectId, amount)
    // Both accounts in the order of everybody, and with them whoever posts the same request at the same time.
    const { rows: accounts } = await sql<{ ledger_account: string; kind: string }>`
      insert into ledger_accounts (kind, owner, balance_nano_usd)
      select kind, owner, 0 from unnest(${entries.map(({ kind }) => kind)}::text[], ${entries.map(({ owner }) => owner)}::text[])
        as entry (kind, owner) order by kind, owner
      on conflict (kind, owner) do update set balance_nano_usd = ledger_accounts.balance_nano_usd
      returning ledger_account, kind`.execute(trx)
    const first = idempotencyKey === undefined ? undefined : await findByKey(trx, projectId, idempotencyKey)
    if (first) {
      if (first.requestHash !== draft.requestHash) throw errorOf(billingErrors.idempotencyKeyReused)
      return first
    }
    const { transaction_id: transactionId } = await trx
      .insertInto('ledger_transactions')
      .values({
        batch_id: null,
        project_id: projectId,
        account_id: accountId,
        kind: 'credit',
        adjusts: null,
        event_count: 0,
        cost_nano_usd: 0,
        charge_nano_usd: -amount,
        reference: 'credit',
      })
      .returning('transaction_id')
      .executeTakeFirstOrThrow()
    for (const { kind, amount: entry } of entries) {
      const account = accounts.find(one => one.kind === kind)?.ledger_account ?? ''
      await sql`update ledger_accounts set balance_nano_usd = balance_nano_usd + ${entry}::bigint
        where ledger_account = ${account}`.execute(trx)
      await sql`insert into ledger_entries (transaction_id, ledger_account, amount_nano_usd)
        values (${transactionId}, ${account}, ${entry}::bigint)`.execute(trx)
    }
    const { posted_at: postedAt } = await trx
      .insertInto('credits')
      .values({
        transaction_id: transactionId,
        project_id: projectId,
        account_id: accountId,
        amount_nano_usd: amount,
        reason,
        actor,
        from_address: by.address,
        idempotency_key: idempotencyKey ?? null,
        request_hash: draft.requestHash,
      })
      .returning('posted_at')
      .executeTakeFirstOrThrow()
    await settleBalances(trx, [projectId])
    await tellTrail(trx, {
      atMs: postedAt.getTime(),
      author: by,
      projectId,
      action: 'balance.credited',
      target: projectId,
      before: undefined,
      after: { transaction_id: transactionId, amount_nano_usd: String(amount), reason },
    })
    return { transactionId, amount, reason, actor, fromAddress: by.address, postedAt }
  })
}

async function findByKey(
  trx: Transaction<Tables>,
  projectId: string,
  idempotencyKey: string,
): Promise<(Credit & { requestHash: string }) | undefined> {
  const row = await trx
    .selectFrom('credits')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('idempotency_key', '=', idempotencyKey)
    .executeTakeFirst()
  return row && { ...toCredit(row), requestHash: row.request_hash }
}

/** Credits of a project before one, the newest first. */
export async function listCredits(
  db: Kysely<Tables>,
  projectId: string,
  { before, limit }: { before: string | undefined; limit: number },
): Promise<Credit[]> {
  let query = db
    .selectFrom('credits')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('transaction_id', 'desc')
    .limit(limit)
  if (before !== undefined) query = query.where('transaction_id', '<', before)
  return (await query.execute()).map(toCredit)
}

function toCredit(row: {
  transaction_id: string
  amount_nano_usd: string
  reason: string
  actor: string
  from_address: string
  posted_at: Date
}): Credit {
  return {
    transactionId: row.transaction_id,
    amount: BigInt(row.amount_nano_usd),
    reason: row.reason,
    actor: row.actor,
    fromAddress: row.from_address,
    postedAt: row.posted_at,
  }
}
