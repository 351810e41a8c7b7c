import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Price books, immutable, by content. */
export const createPriceBooks: Migration = {
  name: '001-create-price-books',
  async up(db) {
    await sql`create table price_books (
      price_book_id text primary key,
      kind text not null check (kind in ('catalogue', 'override')),
      project_id uuid,
      effective_at timestamptz not null,
      body text not null,
      created_at timestamptz not null default now(),
      check ((kind = 'override') = (project_id is not null))
    )`.execute(db)
    await sql`comment on column price_books.body is 'Canonical JSON; its hash is the id'`.execute(db)
    await sql`comment on column price_books.effective_at is 'The catalogue with the latest one that has begun is in force'`.execute(
      db,
    )
  },
}
