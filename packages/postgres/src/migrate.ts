import { type Kysely, sql } from 'kysely'

/** One numbered step, forward only. `name` is `NNN-verb-noun`. */
export interface Migration {
  name: string
  up: (db: Kysely<never>) => Promise<void>
}

/**
 * Runs what has not run yet, in order, each in a transaction of its own, under an advisory lock so that two runs at once do
 * it once. The schema itself is there already (provisioning makes it for the service's role).
 * @returns the names of the steps that ran
 * @throws where a step that has run before is missing from the list: the data is newer than the program
 */
export async function runMigrations<Tables>(
  db: Kysely<Tables>,
  schema: string,
  migrations: readonly Migration[],
): Promise<string[]> {
  const done: string[] = []
  await db.connection().execute(async connection => {
    await sql`select pg_advisory_lock(hashtext(${`sluice migrations ${schema}`}))`.execute(connection)
    try {
      await sql`create table if not exists migrations (name text primary key, applied_at timestamptz not null default now())`.execute(
        connection,
      )
      const { rows } = await sql<{ name: string }>`select name from migrations order by name`.execute(connection)
      const known = new Set(migrations.map(migration => migration.name))
      const unknown = rows.find(row => !known.has(row.name))
      if (unknown)
        throw new Error(
          `schema ${schema} has step ${unknown.name}, which this version does not know: run a newer version`,
        )
      const applied = new Set(rows.map(row => row.name))
      for (const migration of migrations) {
        if (applied.has(migration.name)) continue
        await connection.transaction().execute(async trx => {
          // It takes as long as its tables are large.
          await sql`set local statement_timeout = 0`.execute(trx)
          await migration.up(trx as unknown as Kysely<never>)
          await sql`insert into migrations (name) values (${migration.name})`.execute(trx)
        })
        done.push(migration.name)
      }
    } finally {
      await sql`select pg_advisory_unlock(hashtext(${`sluice migrations ${schema}`}))`.execute(connection)
    }
  })
  return done
}
