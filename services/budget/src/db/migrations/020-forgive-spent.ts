import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Copies of budgets begin anew in the middle of a window. */
export const forgiveSpent: Migration = {
  name: '020-forgive-spent',
  async up(db) {
    await sql`alter table budget_windows add column forgiven numeric not null default 0, add column begun_at_ms bigint`.execute(
      db,
    )
    await sql`comment on column budget_windows.forgiven is 'What had been spent, with leases and without, when somebody let it begin anew: counts no more'`.execute(
      db,
    )
    await sql`comment on column budget_windows.begun_at_ms is 'When that was; null: never'`.execute(db)
    await sql`alter table audit_entries drop constraint audit_entries_action_check`.execute(db)
    await sql`alter table audit_entries add constraint audit_entries_action_check check (action in
      ('created', 'changed', 'deleted', 'raised', 'raise-ended', 'written-off', 'unresolved-expired', 'begun-anew',
       'destination-created', 'destination-changed', 'destination-deleted', 'destination-tested', 'secret-rotated',
       'alert-sent-again', 'alert-given-up'))`.execute(db)
  },
}
