import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** By whom a password link was made: it holds for as long as they may make it. One of before this step holds no more. */
export const knowLinkMakers: Migration = {
  name: '032-know-link-makers',
  async up(db) {
    // Nullable for services of an earlier version, whose links nobody can answer for.
    await sql`alter table password_links add column made_by text references members`.execute(db)
  },
}
