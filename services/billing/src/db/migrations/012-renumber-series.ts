import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Series were given a number with each batch, of which their space has four million: the next is the one behind the last in use. */
export const renumberSeries: Migration = {
  name: '012-renumber-series',
  async up(db) {
    await sql`lock table usage_series in exclusive mode`.execute(db)
    await sql`select setval(pg_get_serial_sequence('usage_series', 'series_no'), coalesce(max(series_no), 0) + 1, false)
      from usage_series`.execute(db)
  },
}
