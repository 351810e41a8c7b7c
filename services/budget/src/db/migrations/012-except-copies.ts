import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** People whose seat in a team has a budget of its own. */
export const exceptCopies: Migration = {
  name: '012-except-copies',
  async up(db) {
    await sql`alter table budgets add column except_copies text[] not null default '{}'`.execute(db)
    await sql`comment on column budgets.except_copies is 'Copies that no call meets: a budget of their own stands in their place'`.execute(
      db,
    )
    // Behind the columns it had, so that whoever may read it still may.
    await sql`create or replace view budgets_in_force with (security_invoker = true) as select b.budget_id, b.version,
      b.name, b.account_id, b.project_id, b.scope, b.per, b.unit, b.limit_amount, b.window_kind, b.time_zone, b.mode,
      b.on_unknown, b.created_at_ms, b.counts_from_ms, b.deleted_at_ms, b.hold, b.limit_amount + coalesce((
      select sum(r.amount) from budget_raises r where r.budget_id = b.budget_id and r.ended_at_ms is null
        and r.until_ms > extract(epoch from clock_timestamp()) * 1000), 0)::bigint as limit_in_force, b.seat_team_id,
      b.except_copies from budgets b`.execute(db)
  },
}
