import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Memberships of teams that begin or end at a day to come. */
export const planTeamMembers: Migration = {
  name: '042-plan-team-members',
  async up(db) {
    await sql`alter table team_members add column state text not null default 'in_force'
      check (state in ('planned', 'in_force', 'ended'))`.execute(db)
    await sql`comment on column team_members.state is 'What is announced of it: changed when its time has come, by the sweep'`.execute(
      db,
    )
    await sql`update team_members set state = 'ended' where valid_to is not null`.execute(db)
    await sql`drop index team_members_now`.execute(db)
    await sql`drop index team_members_owner`.execute(db)
    await sql`create unique index team_members_now on team_members (team_id, member_id)
      where valid_to is null and state = 'in_force'`.execute(db)
    await sql`create unique index team_members_owner on team_members (team_id)
      where valid_to is null and state = 'in_force' and role = 'owner'`.execute(db)
    await sql`create index team_members_to_begin on team_members (valid_from) where state = 'planned'`.execute(db)
    await sql`create index team_members_to_end on team_members (valid_to) where state = 'in_force'`.execute(db)
  },
}
