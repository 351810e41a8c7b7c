import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Who put a price book in force, and whether it was taken back before it came into force. */
export const addPriceBookOrigin: Migration = {
  name: '008-add-price-book-origin',
  async up(db) {
    await sql`alter table price_books
      add column origin text not null default 'catalogue' check (origin in ('catalogue', 'operator', 'project')),
      add column published_by text not null default 'billing',
      add column withdrawn_at timestamptz`.execute(db)
    await sql`comment on column price_books.origin is 'catalogue: imported by itself; operator: a price file of the operator; project: a book of one project'`.execute(
      db,
    )
    await sql`comment on column price_books.withdrawn_at is 'Taken back before it came into force'`.execute(db)
    await sql`create index price_books_by_project on price_books (project_id, effective_at) where project_id is not null`.execute(
      db,
    )
  },
}
