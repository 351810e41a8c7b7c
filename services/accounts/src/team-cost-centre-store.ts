import { newId } from './api-key.ts'
import type { Db } from './db/schema.ts'

/** What a team is booked on from one time to another; null: until further notice. */
export interface CostCentre {
  cost_centre: string
  valid_from: Date
  valid_to: Date | null
}

export function listCostCentres(
  db: Db,
  teamId: string,
  page?: { after: Date | undefined; limit: number },
): Promise<CostCentre[]> {
  let query = db
    .selectFrom('team_cost_centres')
    .select(['cost_centre', 'valid_from', 'valid_to'])
    .where('team_id', '=', teamId)
    .orderBy('valid_from')
  if (page) query = query.limit(page.limit)
  if (page?.after) query = query.where('valid_from', '>', page.after)
  return query.execute()
}

/**
 * Books a team on a cost centre from a time that is not over, up to the next change that is known; null: on none. With the
 * project locked, so that no two rows overlap. What was in force before that time stays as it was.
 */
export async function setCostCentre(
  db: Db,
  team: { projectId: string; teamId: string },
  costCentre: string | null,
  from: Date,
): Promise<void> {
  const { projectId, teamId } = team
  await db.deleteFrom('team_cost_centres').where('team_id', '=', teamId).where('valid_from', '=', from).execute()
  const rows = await listCostCentres(db, teamId)
  const before = rows.findLast(row => row.valid_from < from)
  const next = rows.find(row => row.valid_from > from)
  if (before && (before.valid_to === null || before.valid_to > from))
    await db
      .updateTable('team_cost_centres')
      .set({ valid_to: from })
      .where('team_id', '=', teamId)
      .where('valid_from', '=', before.valid_from)
      .execute()
  if (costCentre === null) return
  await db
    .insertInto('team_cost_centres')
    .values({
      cost_centre_id: newId('cc'),
      project_id: projectId,
      team_id: teamId,
      cost_centre: costCentre,
      valid_from: from,
      valid_to: next?.valid_from ?? null,
    })
    .execute()
}

/** Ends what a team is booked on, and what was planned. */
export async function endCostCentres(db: Db, team: { projectId: string; teamId: string }, at: Date): Promise<void> {
  await db.deleteFrom('team_cost_centres').where('team_id', '=', team.teamId).where('valid_from', '>', at).execute()
  await setCostCentre(db, team, null, at)
}
