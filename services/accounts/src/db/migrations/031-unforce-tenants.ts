import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/**
 * Row-level security binds the working role alone. Where it bound the owner too, a service of an earlier version, which
 * works as the owner and says for nobody, saw an empty database and withdrew from the gateways what it held.
 */
export const unforceTenants: Migration = {
  name: '031-unforce-tenants',
  async up(db) {
    const { rows } = await sql<{ name: string }>`select relname as name from pg_class
      where relnamespace = current_schema()::regnamespace and relforcerowsecurity order by relname`.execute(db)
    for (const { name } of rows) await sql`alter table ${sql.table(name)} no force row level security`.execute(db)
  },
}
