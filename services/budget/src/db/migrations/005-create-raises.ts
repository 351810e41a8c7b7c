import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

export const createRaises: Migration = {
  name: '005-create-raises',
  async up(db) {
    await sql`create table budget_raises (
      raise_id text primary key,
      budget_id text not null references budgets,
      amount bigint not null check (amount > 0),
      until_ms bigint not null,
      reason text not null,
      actor_kind text not null,
      actor_id text not null,
      created_at_ms bigint not null,
      ended_at_ms bigint
    )`.execute(db)
    await sql`comment on column budget_raises.ended_at_ms is 'When others were told that it is over; it counts to until_ms'`.execute(
      db,
    )
    await sql`create index budget_raises_standing on budget_raises (budget_id, until_ms) where ended_at_ms is null`.execute(
      db,
    )
    // A raise ends by the clock, whoever looks: nothing has to run at that moment.
    await sql`create view budgets_in_force as select b.*, b.limit_amount + coalesce((
      select sum(r.amount) from budget_raises r where r.budget_id = b.budget_id and r.ended_at_ms is null
        and r.until_ms > extract(epoch from clock_timestamp()) * 1000), 0)::bigint as limit_in_force
      from budgets b`.execute(db)

    await sql`alter table audit_entries drop constraint audit_entries_action_check`.execute(db)
    await sql`alter table audit_entries add constraint audit_entries_action_check check (action in
      ('created', 'changed', 'deleted', 'raised', 'raise-ended', 'written-off', 'unresolved-expired'))`.execute(db)
    await sql`create index audit_entries_by_budget on audit_entries (budget_id, id)`.execute(db)

    await sql`alter table partition_owners add column timeline text, add column recovering_since_ms bigint`.execute(db)
    await sql`comment on column partition_owners.timeline is 'Of the cluster when leases were last changed: another one may lack some of them'`.execute(
      db,
    )
    await sql`alter table lease_gateways add column listed_at_ms bigint not null default 0`.execute(db)
    await sql`comment on column lease_gateways.listed_at_ms is 'When it last listed all of its leases, or its run was ended, and all of them were known'`.execute(
      db,
    )
  },
}
