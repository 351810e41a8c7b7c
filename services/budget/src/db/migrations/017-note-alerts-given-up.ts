import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Alerts that were given up stand in the audit. */
export const noteAlertsGivenUp: Migration = {
  name: '017-note-alerts-given-up',
  async up(db) {
    await sql`alter table audit_entries drop constraint audit_entries_action_check`.execute(db)
    await sql`alter table audit_entries add constraint audit_entries_action_check check (action in
      ('created', 'changed', 'deleted', 'raised', 'raise-ended', 'written-off', 'unresolved-expired',
      'destination-created', 'destination-changed', 'destination-deleted', 'destination-tested', 'secret-rotated',
      'alert-sent-again', 'alert-given-up'))`.execute(db)
  },
}
