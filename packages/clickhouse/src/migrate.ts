import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClickhouseClient } from './clickhouse-client.ts'

/**
 * Runs the `NNN-verb-noun.sql` files of a folder that have not run yet, in order. Statements end in `;` at the end of a
 * line. DDL knows no transactions: a step that was interrupted runs again from its start, so each statement says
 * `if not exists`.
 * @returns the names of the steps that ran
 * @throws where a step that has run before is missing from the folder: the data is newer than the program
 */
export async function runClickhouseMigrations(client: ClickhouseClient, folder: string): Promise<string[]> {
  await client.command(`create table if not exists migrations_v1 (
    name String comment 'Step that has run to its end',
    applied_at DateTime64(3, 'UTC') default now64(3) comment 'When it ended'
  ) engine = MergeTree order by name`)
  const rows = await client.query<{ name: string }>('select distinct name from migrations_v1 order by name')
  const applied = new Set(rows.map(row => row.name))
  const steps = readdirSync(folder)
    .filter(file => /^\d{3}-[a-z0-9-]+\.sql$/.test(file))
    .sort()
  const names = steps.map(file => file.replace(/\.sql$/, ''))
  const unknown = [...applied].find(name => !names.includes(name))
  if (unknown) throw new Error(`ClickHouse has step ${unknown}, which this version does not know: run a newer version`)

  const done: string[] = []
  for (const [index, name] of names.entries()) {
    if (applied.has(name)) continue
    for (const statement of splitStatements(readFileSync(join(folder, steps[index] ?? ''), 'utf8')))
      await client.command(statement)
    await client.insert('migrations_v1', [{ name }], name)
    done.push(name)
  }
  return done
}

/** The statements of a file, without comments that stand on lines of their own. */
export function splitStatements(text: string): string[] {
  return text
    .split('\n')
    .filter(line => !line.trimStart().startsWith('--'))
    .join('\n')
    .split(/;\s*(?:\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
}
