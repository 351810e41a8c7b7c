import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Budgets of an account, over all of its projects. */
export const spanProjects: Migration = {
  name: '006-span-projects',
  async up(db) {
    await sql`alter table budgets alter column project_id drop not null`.execute(db)
    await sql`comment on column budgets.project_id is 'Null: it spans the projects of its account'`.execute(db)
    await sql`create index budgets_of_accounts on budgets (account_id) where project_id is null and deleted_at_ms is null`.execute(
      db,
    )
    await sql`alter table audit_entries alter column project_id drop not null`.execute(db)
    await sql`create index spend_facts_by_account on spend_facts (account_id, admitted_at_ms)`.execute(db)
  },
}
