import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Which days of the log are in the archive. A batch whose content is dropped keeps its row: it still refuses overlaps. */
export const createArchive: Migration = {
  name: '007-create-archive',
  async up(db) {
    await sql`alter table usage_batches alter column content drop not null`.execute(db)
    await sql`comment on column usage_batches.content is 'The events first..last, one a line, zstd; null: in the archive alone'`.execute(
      db,
    )
    await sql`create table archive_days (
      day date primary key,
      number int not null unique check (number >= 1),
      hash text not null,
      document text not null,
      archived_at timestamptz not null default now(),
      dropped_at timestamptz
    )`.execute(db)
    await sql`comment on table archive_days is 'Posting days in the archive, in the order of its chain; the chain is held against it'`.execute(
      db,
    )
    await sql`comment on column archive_days.dropped_at is 'When the content of its batches was dropped here; null: still here'`.execute(
      db,
    )
  },
}
