import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What callers have made under an `Idempotency-Key` of theirs. */
export const makeOnce: Migration = {
  name: '008-make-once',
  async up(db) {
    await sql`create table made_once (
      caller_id text not null,
      idempotency_key text not null,
      account_id text not null,
      request_hash text not null,
      made_id text not null,
      made_at_ms bigint not null,
      primary key (caller_id, idempotency_key)
    )`.execute(db)
    await sql`create index made_once_by_time on made_once (made_at_ms)`.execute(db)
  },
}
