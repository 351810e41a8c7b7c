import type { SeatBudget } from '@sluice/contracts'
import { sql } from 'kysely'
import type { Db } from './db/schema.ts'
import { notFound } from './errors.ts'

/** How many open teams a project may have. */
export const maxTeams = 2_000

/** Who pays, as it is at one time. */
export interface Team {
  team_id: string
  name: string
  owner_member_id: string | null
  cost_centre: string | null
  allowed_models: string[] | null
  seat_budget: SeatBudget | null
  created_at: Date
  closed_at: Date | null
}

/** What may be set of a team. */
export interface TeamSettings {
  name: string
  allowedModels: readonly string[] | null
  seatBudget: SeatBudget | null
}

export async function insertTeam(
  db: Db,
  team: TeamSettings & { teamId: string; projectId: string; at: Date },
): Promise<void> {
  await db
    .insertInto('teams')
    .values({ team_id: team.teamId, project_id: team.projectId, created_at: team.at, ...toColumns(team) })
    .execute()
}

export async function updateTeam(db: Db, teamId: string, settings: TeamSettings): Promise<void> {
  await db.updateTable('teams').set(toColumns(settings)).where('team_id', '=', teamId).execute()
}

export async function markTeamClosed(db: Db, teamId: string, at: Date): Promise<void> {
  await db.updateTable('teams').set({ closed_at: at }).where('team_id', '=', teamId).execute()
}

/** The teams of a project as they are at a time, behind an id. */
export function listTeams(
  db: Db,
  projectId: string,
  options: { at: Date; withClosed: boolean; after: string | undefined; limit: number },
): Promise<Team[]> {
  return teamsOf(db, projectId, options.at)
    .$if(!options.withClosed, query => query.where('closed_at', 'is', null))
    .$if(options.after !== undefined, query => query.where('teams.team_id', '>', options.after ?? ''))
    .orderBy('teams.team_id')
    .limit(options.limit)
    .execute()
}

export function findTeam(db: Db, projectId: string, teamId: string, at: Date): Promise<Team | undefined> {
  return teamsOf(db, projectId, at).where('teams.team_id', '=', teamId).executeTakeFirst()
}

/** A team that is not closed, with its project locked. @throws AppError 404 */
export async function findOpenTeam(db: Db, projectId: string, teamId: string, at: Date): Promise<Team> {
  const team = await findTeam(db, projectId, teamId, at)
  if (!team || team.closed_at) throw notFound()
  return team
}

export function findTeamByName(db: Db, projectId: string, name: string, at: Date): Promise<Team | undefined> {
  return teamsOf(db, projectId, at)
    .where('closed_at', 'is', null)
    .where(({ eb, fn }) => eb(fn<string>('lower', ['name']), '=', name.toLowerCase()))
    .executeTakeFirst()
}

export async function countOpenTeams(db: Db, projectId: string): Promise<number> {
  const row = await db
    .selectFrom('teams')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .where('closed_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** Whether a project has a team of this id that is not closed. */
export async function hasTeam(db: Db, projectId: string, teamId: string): Promise<boolean> {
  const row = await db
    .selectFrom('teams')
    .select('team_id')
    .where('project_id', '=', projectId)
    .where('team_id', '=', teamId)
    .where('closed_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

/** How many keys that are not revoked a team pays for. */
export async function countKeysOfTeam(db: Db, teamId: string): Promise<number> {
  const row = await db
    .selectFrom('api_keys')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('team_id', '=', teamId)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

function toColumns(settings: TeamSettings) {
  return {
    name: settings.name,
    allowed_models: settings.allowedModels && JSON.stringify(settings.allowedModels),
    seat_budget: settings.seatBudget && JSON.stringify(settings.seatBudget),
  }
}

function teamsOf(db: Db, projectId: string, at: Date) {
  return db
    .selectFrom('teams')
    .select(({ selectFrom }) => [
      'teams.team_id',
      'name',
      'allowed_models',
      'seat_budget',
      'created_at',
      'closed_at',
      selectFrom('team_members')
        .select('member_id')
        .whereRef('team_members.team_id', '=', 'teams.team_id')
        .where('role', '=', 'owner')
        .where('state', '=', 'in_force')
        .as('owner_member_id'),
      selectFrom('team_cost_centres')
        .select('cost_centre')
        .whereRef('team_cost_centres.team_id', '=', 'teams.team_id')
        .where('valid_from', '<=', at)
        .where(sql<boolean>`coalesce(valid_to > ${at}, true)`)
        .as('cost_centre'),
    ])
    .where('teams.project_id', '=', projectId)
}
