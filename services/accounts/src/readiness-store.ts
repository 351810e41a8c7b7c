import { sql } from 'kysely'
import type { Db } from './db/schema.ts'

/** Whether PostgreSQL answers and has our tables. */
export async function isDatabaseReady(db: Db): Promise<boolean> {
  try {
    await sql`select 1 from accounts limit 1`.execute(db)
    return true
  } catch {
    return false
  }
}
