import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Thresholds of budgets, what has been told of them, and to whom. */
export const createAlerts: Migration = {
  name: '013-create-alerts',
  async up(db) {
    await sql`alter table budgets add column thresholds int[] not null default '{}',
      add column forecast_alert boolean not null default false`.execute(db)
    await sql`comment on column budgets.thresholds is 'Per cents of the limit in force, rising. Of budgets from before there were any: none'`.execute(
      db,
    )
    // Behind the columns it had, so that whoever may read it still may.
    await sql`create or replace view budgets_in_force with (security_invoker = true) as select b.budget_id, b.version,
      b.name, b.account_id, b.project_id, b.scope, b.per, b.unit, b.limit_amount, b.window_kind, b.time_zone, b.mode,
      b.on_unknown, b.created_at_ms, b.counts_from_ms, b.deleted_at_ms, b.hold, b.limit_amount + coalesce((
      select sum(r.amount) from budget_raises r where r.budget_id = b.budget_id and r.ended_at_ms is null
        and r.until_ms > extract(epoch from clock_timestamp()) * 1000), 0)::bigint as limit_in_force, b.seat_team_id,
      b.except_copies, b.thresholds, b.forecast_alert from budgets b`.execute(db)

    await sql`create table alert_destinations (
      destination_id text primary key,
      account_id text not null,
      project_id uuid,
      budget_id text references budgets,
      kind text not null check (kind in ('webhook', 'email')),
      name text not null,
      url text,
      addresses text[] not null default '{}',
      secrets jsonb not null default '[]',
      enabled boolean not null,
      created_at_ms bigint not null,
      deleted_at_ms bigint
    )`.execute(db)
    await sql`comment on column alert_destinations.project_id is 'Null: it is told of budgets that span the projects of the account'`.execute(
      db,
    )
    await sql`comment on column alert_destinations.budget_id is 'The one budget it is told of. Null: all of its project or account'`.execute(
      db,
    )
    await sql`comment on column alert_destinations.secrets is 'Of a webhook, sealed, the newest first; one with an end was followed by another'`.execute(
      db,
    )
    await sql`create index alert_destinations_of_projects on alert_destinations (project_id, destination_id)
      where deleted_at_ms is null`.execute(db)
    await sql`create index alert_destinations_of_accounts on alert_destinations (account_id, destination_id)
      where project_id is null and deleted_at_ms is null`.execute(db)

    await sql`create table alerts (
      alert_id text primary key,
      account_id text not null,
      project_id uuid,
      budget_id text references budgets,
      kind text not null check (kind in ('threshold', 'forecast', 'test')),
      document jsonb not null,
      at_ms bigint not null
    )`.execute(db)
    await sql`comment on column alerts.document is 'What is told, the same to everybody'`.execute(db)
    await sql`create index alerts_of_projects on alerts (project_id, alert_id)`.execute(db)
    await sql`create index alerts_of_accounts on alerts (account_id, alert_id) where project_id is null`.execute(db)
    await sql`create index alerts_by_time on alerts (at_ms)`.execute(db)

    await sql`create table fired_thresholds (
      budget_id text not null references budgets,
      copy text not null,
      window_start_ms bigint not null,
      threshold int not null,
      alert_id text not null,
      at_ms bigint not null,
      primary key (budget_id, copy, window_start_ms, threshold)
    )`.execute(db)
    await sql`comment on table fired_thresholds is 'Each once: whoever gets a row in here is who tells'`.execute(db)
    await sql`comment on column fired_thresholds.threshold is 'Per cent of the limit; 0: the forecast'`.execute(db)
    await sql`create index fired_thresholds_by_time on fired_thresholds (at_ms)`.execute(db)

    await sql`create table alert_deliveries (
      delivery_id text primary key,
      alert_id text not null references alerts on delete cascade,
      destination_id text not null references alert_destinations,
      state text not null check (state in ('waiting', 'delivered', 'given_up', 'cancelled')),
      attempts int not null,
      next_at_ms bigint not null,
      claim text,
      claimed_until_ms bigint,
      last_status int,
      last_error text,
      created_at_ms bigint not null,
      ended_at_ms bigint,
      unique (alert_id, destination_id)
    )`.execute(db)
    await sql`comment on column alert_deliveries.claim is 'Of the attempt under way: nobody else makes one until claimed_until_ms'`.execute(
      db,
    )
    await sql`create index alert_deliveries_waiting on alert_deliveries (destination_id, next_at_ms)
      where state = 'waiting'`.execute(db)

    await sql`alter table audit_entries alter column budget_id drop not null, add column destination_id text`.execute(
      db,
    )
    await sql`comment on column audit_entries.destination_id is 'Where a destination of alerts was changed, and no budget'`.execute(
      db,
    )
    await sql`create index audit_entries_by_destination on audit_entries (destination_id, id)
      where destination_id is not null`.execute(db)
    await sql`alter table audit_entries drop constraint audit_entries_action_check`.execute(db)
    await sql`alter table audit_entries add constraint audit_entries_action_check check (action in
      ('created', 'changed', 'deleted', 'raised', 'raise-ended', 'written-off', 'unresolved-expired',
      'destination-created', 'destination-changed', 'destination-deleted', 'destination-tested', 'secret-rotated',
      'alert-sent-again'))`.execute(db)
  },
}
