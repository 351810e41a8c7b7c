import type { Migration } from '@sluice/postgres'
import { type Kysely, sql } from 'kysely'
import { type ChainHead, chainEntry, chainStart } from '../../audit-chain.ts'

/** Chains each account's entries by their hashes, those that are there too, so that none can be changed or left out unseen. */
export const chainAudit: Migration = {
  name: '008-chain-audit',
  async up(db) {
    await sql`alter table audit_entries add column number bigint, add column from_address text, add column user_agent text,
      add column prev_hash text, add column hash text`.execute(db)
    await sql`create table audit_heads (
      account_id text primary key,
      number bigint not null,
      hash text not null
    )`.execute(db)
    await sql`comment on table audit_heads is 'The last entry of each account: locked to write the next, and what shows that the last ones are gone'`.execute(
      db,
    )
    await sql`alter table audit_entries disable trigger audit_entries_append_only`.execute(db)
    await chainKept(db)
    await sql`alter table audit_entries enable trigger audit_entries_append_only`.execute(db)
    await sql`alter table audit_entries alter column number set not null, alter column prev_hash set not null,
      alter column hash set not null, add unique (account_id, number)`.execute(db)
    await sql`drop index audit_entries_account`.execute(db)
    await sql`create index audit_entries_project on audit_entries (project_id, number)`.execute(db)
    await sql`comment on column audit_entries.from_address is 'The client''s address as the routes see it; null: one of our own tasks'`.execute(
      db,
    )
  },
}

interface KeptRow {
  audit_id: string
  at: Date
  account_id: string
  project_id: string | null
  actor_kind: string
  actor_id: string
  action: string
  target: string
  before: unknown
  after: unknown
}

async function chainKept(db: Kysely<never>): Promise<void> {
  const heads = new Map<string, ChainHead>()
  let after = '0'
  for (;;) {
    const { rows } =
      await sql<KeptRow>`select audit_id, at, account_id, project_id, actor_kind, actor_id, action, target,
      before, after from audit_entries where audit_id > ${after} order by audit_id limit 1000`.execute(db)
    for (const { audit_id, at, ...row } of rows) {
      const entry = chainEntry(heads.get(row.account_id) ?? chainStart, {
        ...row,
        at: at.toISOString(),
        from_address: null,
        user_agent: null,
      })
      heads.set(row.account_id, entry)
      await sql`update audit_entries set number = ${entry.number}, prev_hash = ${entry.prev_hash}, hash = ${entry.hash},
        at = ${at} where audit_id = ${audit_id}`.execute(db)
      after = audit_id
    }
    if (rows.length === 0) break
  }
  for (const [accountId, { number, hash }] of heads)
    await sql`insert into audit_heads (account_id, number, hash) values (${accountId}, ${number}, ${hash})`.execute(db)
}
