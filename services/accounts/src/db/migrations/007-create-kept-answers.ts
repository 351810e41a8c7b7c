import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Answers to creations that may be asked for again. */
export const createKeptAnswers: Migration = {
  name: '007-create-kept-answers',
  async up(db) {
    await sql`create table kept_answers (
      account_id text not null,
      caller_id text not null,
      idempotency_key text not null,
      request_hash text not null,
      envelope jsonb,
      created_at timestamptz not null,
      primary key (caller_id, idempotency_key)
    )`.execute(db)
    await sql`comment on column kept_answers.caller_id is 'Member or key: nobody else can ask for their answers'`.execute(
      db,
    )
    await sql`comment on column kept_answers.envelope is 'The answer, sealed, since it may show a secret'`.execute(db)
    await sql`create index kept_answers_created on kept_answers (created_at)`.execute(db)
  },
}
