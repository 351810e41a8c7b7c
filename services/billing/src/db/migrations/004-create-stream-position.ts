import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** How far the stream has been applied, so that a restored database notices what was acknowledged after its backup. */
export const createStreamPosition: Migration = {
  name: '004-create-stream-position',
  async up(db) {
    await sql`create table stream_position (
      only_row boolean primary key default true check (only_row),
      stream_seq bigint not null
    )`.execute(db)
    await sql`insert into stream_position (stream_seq) values (0)`.execute(db)
    await sql`comment on column stream_position.stream_seq is 'Highest stream sequence that was committed'`.execute(db)
  },
}
