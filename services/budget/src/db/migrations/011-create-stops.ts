import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Stops that admins have put up, lifted ones too. */
export const createStops: Migration = {
  name: '011-create-stops',
  async up(db) {
    await sql`create table stops (
      stop_id text primary key,
      account_id text not null,
      project_id uuid not null,
      scope jsonb not null,
      reason text not null,
      actor_kind text not null,
      actor_id text not null,
      actor_from jsonb,
      at_ms bigint not null,
      lifted_at_ms bigint,
      lifter_kind text,
      lifter_id text,
      lifter_from jsonb
    )`.execute(db)
    await sql`create index stops_of_projects on stops (project_id, stop_id)`.execute(db)
    await sql`comment on table stops is 'Calls that an admin has stopped: who, why, and who let them go on'`.execute(db)
  },
}
