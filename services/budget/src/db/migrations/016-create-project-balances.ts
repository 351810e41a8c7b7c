import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Prepaid projects, and whether their money is gone, as billing tells it. */
export const createProjectBalances: Migration = {
  name: '016-create-project-balances',
  async up(db) {
    await sql`create table project_balances (
      project_id uuid primary key,
      account_id text not null,
      version bigint not null,
      exhausted boolean not null,
      at_ms bigint not null
    )`.execute(db)
    await sql`comment on column project_balances.version is 'Of what billing has told: the newest holds'`.execute(db)
  },
}
