import { sql } from 'kysely'
import type { Db } from './db/schema.ts'

/** The account that was made first: the one an installation bootstraps. */
export async function findFirstAccount(db: Db): Promise<string | undefined> {
  const row = await db.selectFrom('accounts').select('account_id').orderBy('created_at').limit(1).executeTakeFirst()
  return row?.account_id
}

export async function insertAccount(db: Db, accountId: string, name: string): Promise<void> {
  await db.insertInto('accounts').values({ account_id: accountId, name }).execute()
}

/** Locks an account for the rest of the transaction, before its projects and members. */
export async function lockAccount(db: Db, accountId: string): Promise<void> {
  await db.selectFrom('accounts').select('account_id').where('account_id', '=', accountId).forUpdate().execute()
}

/** One bootstrap at a time; held until the transaction ends. */
export async function lockBootstrap(db: Db): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('sluice accounts bootstrap'))`.execute(db)
}
