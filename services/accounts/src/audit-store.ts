import type { AuditRecordedData } from '@sluice/contracts'
import { storableText, transact } from '@sluice/postgres'
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

/** An entry that is not yet in its trail. */
type NewEntry = Omit<ChainedEntry, 'number' | 'prev_hash' | 'hash' | 'account_id'>

/**
 * Writes entries at the end of their account's trail, whose end stays locked until the transaction ends. Call it last: who
 * holds this lock waits for no other.
 */
export async function appendAudit(db: Db, accountId: string, entries: readonly NewEntry[]): Promise<void> {
  if (entries.length === 0) return
  const head = await lockAuditHead(db, accountId)
  await append(
    db,
    accountId,
    head,
    entries.map(entry => ({ entry })),
  )
}

/**
 * Writes changes of other services at the end of an account's trail: those that are not in it yet. While the end is locked
 * nobody else writes them. @returns those that were written
 */
export function appendRecorded(
  db: Db,
  accountId: string,
  changes: readonly AuditRecordedData[],
): Promise<AuditRecordedData[]> {
  return transact(db, async trx => {
    const head = await lockAuditHead(trx, accountId)
    const ids = changes.map(change => change.entry_id)
    const rows = await trx.selectFrom('audit_entries').select('entry_id').where('entry_id', 'in', ids).execute()
    const known = new Set(rows.map(row => row.entry_id))
    const fresh = changes.filter(({ entry_id }) => !known.has(entry_id) && known.add(entry_id))
    const entries = fresh.map(change => ({ entry: entryOf(change), entryId: change.entry_id }))
    await append(trx, accountId, head, entries)
    return fresh
  })
}

function entryOf(change: AuditRecordedData): NewEntry {
  return {
    at: new Date(change.at_ms).toISOString(),
    project_id: change.project_id ?? null,
    actor_kind: change.actor_kind,
    actor_id: storableText(change.actor_id),
    from_address: change.from_address === undefined ? null : storableText(change.from_address),
    user_agent: change.user_agent === undefined ? null : storableText(change.user_agent),
    action: change.action,
    target: storableText(change.target),
    before: change.before ?? null,
    after: change.after ?? null,
  }
}

async function lockAuditHead(db: Db, accountId: string): Promise<ChainHead> {
  const row = await db
    .insertInto('audit_heads')
    .values({ account_id: accountId, number: chainStart.number, hash: chainStart.hash })
    // Changes nothing and locks the row, which `do nothing` would not.
    .onConflict(conflict => conflict.column('account_id').doUpdateSet({ account_id: accountId }))
    .returning(['number', 'hash'])
    .executeTakeFirstOrThrow()
  return { number: Number(row.number), hash: row.hash }
}

/** Chains entries to the end of a trail, which is locked. */
async function append(
  db: Db,
  accountId: string,
  head: ChainHead,
  entries: readonly { entry: NewEntry; entryId?: string }[],
): Promise<void> {
  let last = head
  const rows = entries.map(({ entry, entryId }) => {
    const chained = chainEntry(last, { ...entry, account_id: accountId })
    last = chained
    return {
      ...chained,
      at: new Date(chained.at),
      before: chained.before === null ? null : JSON.stringify(chained.before),
      after: chained.after === null ? null : JSON.stringify(chained.after),
      entry_id: entryId ?? null,
    }
  })
  if (rows.length === 0) return
  await db.insertInto('audit_entries').values(rows).execute()
  await db
    .updateTable('audit_heads')
    .set({ number: last.number, hash: last.hash })
    .where('account_id', '=', accountId)
    .execute()
}

/** Keeps messages that are no changes of other services, for operators to look at. */
export async function insertUnread(
  db: Db,
  messages: readonly { subject: string; data: Uint8Array; reason: string }[],
  receivedAt: Date,
): Promise<void> {
  await db
    .insertInto('unread_changes')
    .values(
      messages.map(({ subject, data, reason }) => ({
        received_at: receivedAt,
        subject,
        reason: storableText(reason),
        content: Buffer.from(data),
      })),
    )
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
