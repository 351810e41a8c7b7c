import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/**
 * The e-mail address as it is looked up. Behind row-level security an index on `lower(email)` serves no query: the function
 * might tell of rows that may not be seen, so that PostgreSQL asks the policy of every row first. A column needs no function.
 */
export const indexAddresses: Migration = {
  name: '050-index-addresses',
  async up(db) {
    await sql`alter table members add column email_lower text not null generated always as (lower(email)) stored`.execute(
      db,
    )
    await sql`create index members_email_lower on members (email_lower)`.execute(db)
  },
}
