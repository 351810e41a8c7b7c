import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What everybody of a kind gets who has nothing of their own. */
export const markQuotas: Migration = {
  name: '015-mark-quotas',
  async up(db) {
    await sql`alter table budgets add column quota_of text check (quota_of in ('member', 'service_account'))`.execute(
      db,
    )
    await sql`comment on column budgets.quota_of is 'Whose monthly quota it is by default: a monthly budget of their own stands in its place. Null: an ordinary budget'`.execute(
      db,
    )
    await sql`create unique index budgets_quotas on budgets (project_id, quota_of)
      where quota_of is not null and deleted_at_ms is null`.execute(db)
    // Behind the columns it had, so that whoever may read it still may.
    await sql`create or replace view budgets_in_force with (security_invoker = true) as select b.budget_id, b.version,
      b.name, b.account_id, b.project_id, b.scope, b.per, b.unit, b.limit_amount, b.window_kind, b.time_zone, b.mode,
      b.on_unknown, b.created_at_ms, b.counts_from_ms, b.deleted_at_ms, b.hold, b.limit_amount + coalesce((
      select sum(r.amount) from budget_raises r where r.budget_id = b.budget_id and r.ended_at_ms is null
        and r.until_ms > extract(epoch from clock_timestamp()) * 1000), 0)::bigint as limit_in_force, b.seat_team_id,
      b.except_copies, b.thresholds, b.forecast_alert, b.quota_of from budgets b`.execute(db)
  },
}
