import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Copies of a window are counted, where callers choose what has one; cutoffs of copies that did not come again are forgotten. */
export const tellCopiesApart: Migration = {
  name: '021-tell-copies-apart',
  async up(db) {
    await sql`create index budget_windows_by_begin on budget_windows (budget_id, window_start_ms)`.execute(db)
    await sql`create index cutoffs_lifted on cutoffs (at_ms) where not listed and not active`.execute(db)
  },
}
