import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Projects say of which calls they want spans. */
export const filterSpans: Migration = {
  name: '054-filter-spans',
  async up(db) {
    await sql`alter table otel_settings add column filter jsonb`.execute(db)
    await sql`comment on column otel_settings.filter is 'Lists of models, teams, apps, statuses, each of which must match; null: all calls'`.execute(
      db,
    )
  },
}
