import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What is unresolved in a home is looked for every few seconds: it is found beside all the leases of which nothing is, however little is known of either. */
export const indexUnresolved: Migration = {
  name: '022-index-unresolved',
  async up(db) {
    await sql`create index leases_unresolved_by_home on leases (home) where unresolved <> '{}'`.execute(db)
  },
}
