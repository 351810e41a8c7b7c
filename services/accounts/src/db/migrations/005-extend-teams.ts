import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What teams are beside a name: who is in them and what they are booked on, each from one time to another. */
export const extendTeams: Migration = {
  name: '005-extend-teams',
  async up(db) {
    await sql`alter table teams add column allowed_models jsonb, add column seat_budget jsonb,
      add column closed_at timestamptz`.execute(db)
    await sql`comment on column teams.allowed_models is 'provider/model, trailing * allowed; null: what the project allows'`.execute(
      db,
    )
    await sql`comment on column teams.closed_at is 'Set: takes no calls, members or keys any more; what it has spent stays its own'`.execute(
      db,
    )
    await sql`drop index teams_name`.execute(db)
    await sql`create unique index teams_name on teams (project_id, lower(name)) where closed_at is null`.execute(db)
    await sql`create table team_members (
      team_member_id text primary key,
      project_id uuid not null,
      team_id text not null,
      member_id text not null references members,
      role text not null check (role in ('owner', 'member')),
      valid_from timestamptz not null,
      valid_to timestamptz check (valid_to >= valid_from),
      foreign key (project_id, team_id) references teams (project_id, team_id)
    )`.execute(db)
    await sql`comment on column team_members.valid_to is 'null: until further notice. Rows change in nothing else'`.execute(
      db,
    )
    await sql`create unique index team_members_now on team_members (team_id, member_id) where valid_to is null`.execute(
      db,
    )
    await sql`create unique index team_members_owner on team_members (team_id) where valid_to is null and role = 'owner'`.execute(
      db,
    )
    await sql`create index team_members_member on team_members (member_id, project_id)`.execute(db)
    await sql`create table team_cost_centres (
      cost_centre_id text primary key,
      project_id uuid not null,
      team_id text not null,
      cost_centre text not null,
      valid_from timestamptz not null,
      valid_to timestamptz check (valid_to > valid_from),
      foreign key (project_id, team_id) references teams (project_id, team_id),
      unique (team_id, valid_from)
    )`.execute(db)
    await sql`create unique index team_cost_centres_last on team_cost_centres (team_id) where valid_to is null`.execute(
      db,
    )
    await sql`alter table project_members add column default_team_id text,
      add foreign key (project_id, default_team_id) references teams (project_id, team_id)`.execute(db)
    await sql`comment on column project_members.default_team_id is 'Pays for their calls where none is named'`.execute(
      db,
    )
  },
}
