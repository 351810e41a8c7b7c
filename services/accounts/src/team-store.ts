import type { Db } from './db/schema.ts'

export interface Team {
  team_id: string
  name: string
  created_at: Date
}

export async function insertTeam(db: Db, team: { teamId: string; projectId: string; name: string }): Promise<void> {
  await db.insertInto('teams').values({ team_id: team.teamId, project_id: team.projectId, name: team.name }).execute()
}

export function listTeams(db: Db, projectId: string): Promise<Team[]> {
  return db
    .selectFrom('teams')
    .select(['team_id', 'name', 'created_at'])
    .where('project_id', '=', projectId)
    .orderBy('created_at')
    .orderBy('team_id')
    .execute()
}

export function findTeamByName(db: Db, projectId: string, name: string): Promise<Team | undefined> {
  return db
    .selectFrom('teams')
    .select(['team_id', 'name', 'created_at'])
    .where('project_id', '=', projectId)
    .where(({ eb, fn }) => eb(fn<string>('lower', ['name']), '=', name.toLowerCase()))
    .executeTakeFirst()
}

export async function hasTeam(db: Db, projectId: string, teamId: string): Promise<boolean> {
  const row = await db
    .selectFrom('teams')
    .select('team_id')
    .where('project_id', '=', projectId)
    .where('team_id', '=', teamId)
    .executeTakeFirst()
  return row !== undefined
}
