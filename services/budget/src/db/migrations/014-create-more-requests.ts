import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Who has asked for more of a budget, and what became of it. */
export const createMoreRequests: Migration = {
  name: '014-create-more-requests',
  async up(db) {
    await sql`create table more_requests (
      request_id text primary key,
      account_id text not null,
      project_id uuid not null,
      budget_id text not null references budgets,
      budget_project_id uuid,
      copy text not null,
      requester_kind text not null,
      requester_id text not null,
      requester_from jsonb,
      member_id text,
      amount bigint not null check (amount > 0),
      reason text not null,
      created_at_ms bigint not null,
      state text not null check (state in ('open', 'approved', 'declined')),
      decider_kind text,
      decider_id text,
      decider_from jsonb,
      decided_at_ms bigint,
      word text,
      raise_id text references budget_raises,
      granted bigint,
      until_ms bigint
    )`.execute(db)
    await sql`comment on column more_requests.project_id is 'Of whoever asks'`.execute(db)
    await sql`comment on column more_requests.budget_project_id is 'Null: the budget spans the projects of the account'`.execute(
      db,
    )
    await sql`comment on column more_requests.member_id is 'Whose key has asked; null: nobody in person'`.execute(db)
    // One at a time: a program that is refused a hundred times asks once.
    await sql`create unique index more_requests_open on more_requests (budget_id, requester_kind, requester_id)
      where state = 'open'`.execute(db)
    await sql`create index more_requests_of_requesters on more_requests (requester_id, created_at_ms)`.execute(db)
    await sql`create index more_requests_of_projects on more_requests (project_id, request_id)`.execute(db)
    await sql`create index more_requests_of_budgets on more_requests (budget_project_id, request_id)`.execute(db)
  },
}
