import { sql } from 'kysely'
import type { Db } from './db/schema.ts'

/** Lets a part of a project's transaction see the whole account: what somebody holds elsewhere, for their sessions. */
export async function withinAccount<Result>(trx: Db, work: () => Promise<Result>): Promise<Result> {
  const { rows } = await sql<{
    project: string | null
  }>`select current_setting('sluice.project', true) as project`.execute(trx)
  await setProject(trx, '')
  const result = await work()
  // A failure ends the transaction, and its settings with it.
  await setProject(trx, rows[0]?.project ?? '')
  return result
}

async function setProject(trx: Db, projectId: string): Promise<void> {
  await sql`select set_config('sluice.project', ${projectId}, true)`.execute(trx)
}
