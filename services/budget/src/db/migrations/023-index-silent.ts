import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Leases of gateways that fell silent are looked for every few seconds: they are found beside all the leases of those that live. */
export const indexSilent: Migration = {
  name: '023-index-silent',
  async up(db) {
    await sql`create index leases_silent_by_home on leases (home) where state = 'silent'`.execute(db)
  },
}
