import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** People are told of requests for more, and of what became of them. */
export const tellOfRequests: Migration = {
  name: '019-tell-of-requests',
  async up(db) {
    await sql`alter table more_requests add column key_name text, add column told_at_ms bigint,
      add column decision_told_at_ms bigint`.execute(db)
    await sql`comment on column more_requests.told_at_ms is 'When alerts of it were put into the queue. Null: they are to be'`.execute(
      db,
    )
    await sql`update more_requests set told_at_ms = created_at_ms, decision_told_at_ms = decided_at_ms`.execute(db)
    await sql`create index more_requests_untold on more_requests (budget_id, request_id) where told_at_ms is null`.execute(
      db,
    )
    await sql`create index more_requests_decided_untold on more_requests (request_id)
      where decided_at_ms is not null and decision_told_at_ms is null`.execute(db)

    await sql`alter table alerts drop constraint alerts_kind_check, add constraint alerts_kind_check
      check (kind in ('threshold', 'forecast', 'request', 'decision', 'test'))`.execute(db)
    await sql`create index alerts_of_requests on alerts (budget_id, at_ms) where kind = 'request'`.execute(db)

    await sql`alter table alert_destinations drop constraint alert_destinations_kind_check,
      add constraint alert_destinations_kind_check check (kind in ('webhook', 'email', 'member')),
      add column member_id text, add column events text[] not null default '{threshold,forecast,request,decision}'`.execute(
      db,
    )
    await sql`comment on column alert_destinations.member_id is 'Of kind member: who has asked for more, and hears what became of it. In no list'`.execute(
      db,
    )
    await sql`comment on column alert_destinations.events is 'Kinds of alerts that it is told of'`.execute(db)
    await sql`create unique index alert_destinations_of_members
      on alert_destinations (account_id, coalesce(project_id::text, ''), member_id) where kind = 'member'`.execute(db)
  },
}
