import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What calls say of themselves, for budgets that count by it. */
export const keepClaimedDimensions: Migration = {
  name: '007-claimed-dimensions',
  async up(db) {
    await sql`alter table spend_facts add column app text, add column session_id text, add column agent_id text,
      add column tags jsonb`.execute(db)
    await sql`comment on column spend_facts.app is 'Claimed, like session, agent and tags: null where the call said nothing'`.execute(
      db,
    )
  },
}
