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
  await queryServer(server, `create database ${name}${copy}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  for (const schema of options.schemas ?? []) await query(url.href, `create schema "${schema}"`)
  const atEnd = options.shared ? atProcessEnd : atFileEnd
  atEnd(async () => {
    if (keepsData(t)) return
    // Still in use by a hook that runs after this one: it goes with the server.
    await queryServer(server, `drop database ${name}`).catch(() => {})
  })
  return { url: url.href }
}

/** What its types leave out. */
type KeptClient = pg.Client & { ref: () => void; unref: () => void }

/** One for all that a process asks of the server itself: each connection costs the server more than most of what it is asked. */
let admin: Promise<KeptClient> | undefined
let asked = 0

async function queryServer(server: string, sql: string): Promise<void> {
  admin ??= connect(server) as Promise<KeptClient>
  const client = await admin
  // It keeps the process running while it is asked something, and no longer.
  if (asked++ === 0) client.ref()
  try {
    await client.query(sql)
  } finally {
    if (--asked === 0) client.unref()
  }
}

async function query(url: string, sql: string): Promise<void> {
  const client = await connect(url)
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
}
