import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

/** Whether the database answers. */
export async function isDatabaseReady(db: Kysely<BudgetTables>): Promise<boolean> {
  try {
    await sql`select 1`.execute(db)
    return true
  } catch {
    return false
  }
}
