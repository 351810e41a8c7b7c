import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Whoever is in a team has one that pays, those too who joined before it was so. */
export const defaultTeams: Migration = {
  name: '055-default-teams',
  async up(db) {
    await sql`update project_members set default_team_id = joined.team_id
      from (select distinct on (project_id, member_id) project_id, member_id, team_id from team_members
        where state = 'in_force' order by project_id, member_id, valid_from, team_id) joined
      where project_members.default_team_id is null and joined.project_id = project_members.project_id
        and joined.member_id = project_members.member_id`.execute(db)
  },
}
