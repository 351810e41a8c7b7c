import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { atFileEnd, atProcessEnd } from './at-file-end.ts'
import { findSharedPostgres } from './shared-postgres.ts'
import { keepsData, type TestScope } from './test-folder.ts'

export interface TestPostgres {
  /** Of the superuser to a fresh database; schemas named in `schemas` exist. */
  url: string
}

/**
 * A fresh database on the run's real server, empty or a copy of `template`, dropped when its file ends, or with `shared` its
 * process, unless the test failed.
 */
export async function testPostgres(
  t: TestScope,
  options: { schemas?: readonly string[]; template?: string; shared?: boolean } = {},
): Promise<TestPostgres> {
  const server = await findSharedPostgres()
  const name = `test_${randomBytes(6).toString('hex')}`
  // Copied as files: half the work, where nothing waits for the disk.
  const copy = options.template ? ` template ${options.template} strategy file_copy` : ''
  await query(server, `create database ${name}${copy}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  for (const schema of options.schemas ?? []) await query(url.href, `create schema "${schema}"`)
  const atEnd = options.shared ? atProcessEnd : atFileEnd
  atEnd(async () => {
    if (keepsData(t)) return
    // Still in use by a hook that runs after this one: it goes with the server.
    await query(server, `drop database ${name}`).catch(() => {})
  })
  return { url: url.href }
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
