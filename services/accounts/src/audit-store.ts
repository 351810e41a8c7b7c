import { sql } from 'kysely'
import { type ChainedEntry, type ChainHead, chainEntry, chainStart } from './audit-chain.ts'
import type { Db } from './db/schema.ts'

/** Which entries are asked for; the latest first. */
export interface AuditFilter {
  accountId: string
  projectId: string | undefined
  action: string | undefined
  actorId: string | undefined
  target: string | undefined
  since: Date | undefined
  until: Date | undefined
}

/**
 * Writes entries at the end of their account's trail, whose end stays locked until the transaction ends. Call it last: who
 * holds this lock waits for no other.
 */
export async function appendAudit(
  db: Db,
  accountId: string,
  entries: readonly Omit<ChainedEntry, 'number' | 'prev_hash' | 'hash' | 'account_id'>[],
): Promise<void> {
  if (entries.length === 0) return
  const row = await db
    .insertInto('audit_heads')
    .values({ account_id: accountId, number: chainStart.number, hash: chainStart.hash })
    // Changes nothing and locks the row, which `do nothing` would not.
    .onConflict(conflict => conflict.column('account_id').doUpdateSet({ account_id: accountId }))
    .returning(['number', 'hash'])
    .executeTakeFirstOrThrow()
  const chained: ChainedEntry[] = []
  for (const entry of entries)
    chained.push(
      chainEntry(chained.at(-1) ?? { number: Number(row.number), hash: row.hash }, { ...entry, account_id: accountId }),
    )
  await db
    .insertInto('audit_entries')
    .values(
      chained.map(entry => ({
        ...entry,
        at: new Date(entry.at),
        before: entry.before === null ? null : JSON.stringify(entry.before),
        after: entry.after === null ? null : JSON.stringify(entry.after),
      })),
    )
    .execute()
  const last = chained.at(-1)
  if (last)
    await db
      .updateTable('audit_heads')
      .set({ number: last.number, hash: last.hash })
      .where('account_id', '=', accountId)
      .execute()
}

/** Entries before a number, the latest first. */
export async function listAudit(
  db: Db,
  filter: AuditFilter,
  page: { before: number | undefined; limit: number },
): Promise<ChainedEntry[]> {
  const { projectId, action, actorId, target, since, until } = filter
  const rows = await entriesOf(db, filter.accountId)
    .$if(projectId !== undefined, query => query.where('project_id', '=', projectId ?? ''))
    .$if(action !== undefined, query => query.where('action', '=', action ?? ''))
    .$if(actorId !== undefined, query => query.where('actor_id', '=', actorId ?? ''))
    .$if(target !== undefined, query => query.where('target', '=', target ?? ''))
    .$if(since !== undefined, query => query.where('at', '>=', since ?? new Date(0)))
    .$if(until !== undefined, query => query.where('at', '<', until ?? new Date(0)))
    .$if(page.before !== undefined, query => query.where('number', '<', String(page.before)))
    .orderBy('number', 'desc')
    .limit(page.limit)
    .execute()
  return rows.map(fromRow)
}

/** The trail of an account from a number on, in its order. */
export async function readAuditTrail(db: Db, accountId: string, from: number, limit: number): Promise<ChainedEntry[]> {
  const rows = await entriesOf(db, accountId)
    .where('number', '>=', String(from))
    .orderBy('number')
    .limit(limit)
    .execute()
  return rows.map(fromRow)
}

/** Where an account's trail ends, by what was noted when it was written. */
export async function findAuditHead(db: Db, accountId: string): Promise<ChainHead> {
  const row = await db
    .selectFrom('audit_heads')
    .select(['number', 'hash'])
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return row ? { number: Number(row.number), hash: row.hash } : chainStart
}

/** Every account that has a trail, also one whose end is all that is left. */
export async function listAuditedAccounts(db: Db): Promise<string[]> {
  const { rows } = await sql<{ account_id: string }>`select account_id from audit_heads
    union select distinct account_id from audit_entries order by account_id`.execute(db)
  return rows.map(row => row.account_id)
}

function entriesOf(db: Db, accountId: string) {
  return db
    .selectFrom('audit_entries')
    .select([
      'number',
      'at',
      'account_id',
      'project_id',
      'actor_kind',
      'actor_id',
      'from_address',
      'user_agent',
      'action',
      'target',
      'before',
      'after',
      'prev_hash',
      'hash',
    ])
    .where('account_id', '=', accountId)
}

function fromRow(row: Omit<ChainedEntry, 'number' | 'at'> & { number: string; at: Date }): ChainedEntry {
  return { ...row, number: Number(row.number), at: row.at.toISOString() }
}
