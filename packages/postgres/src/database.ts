import { currentScope, type TenantScope } from '@sluice/runtime'
import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import { workingRoleOf } from './isolate-tenants.ts'
import { PreparingClient } from './prepared.ts'
import { type Statement, sendTogether } from './together.ts'

export type { Kysely, Transaction } from 'kysely'

/** A service's database: Kysely over a pool whose `search_path` is the service's own schema. */
export interface Database<Tables> {
  db: Kysely<Tables>
  close: () => Promise<void>
}

export interface DatabaseConfig {
  url: string
  /** The one schema of this service. */
  schema: string
  maxConnections?: number
  /**
   * Keeps tenants apart: connections work under this role, and each is told for whom with every use of it
   * (`withinScope`), which row-level security goes by.
   */
  tenants?: { role?: string }
}

// bigint and numeric stay text: no money ever becomes a float. Columns of counts that fit are converted where they are read.
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC
      ? (value: string) => value
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

/** Opens a pool. Connects on first use; a statement takes 30 s at most, a connection 5 s to open. */
export function openDatabase<Tables>(config: DatabaseConfig): Database<Tables> {
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: config.url,
    max: config.maxConnections ?? 10,
    connectionTimeoutMillis: 5_000,
    // One that is opened anew costs both sides some ten milliseconds of CPU, and learns of each table again.
    idleTimeoutMillis: 60_000,
    application_name: `sluice-${config.schema}`,
    // For statements that are sent `together`; any other is waited for before the next.
    pipeline: true,
    types,
  })
  // A connection that dies while idle is replaced on the next use; without a listener it would end the process.
  pool.on('error', () => undefined)
  // The same for one that dies between two statements of a transaction: the next statement fails, and its caller hears of it.
  pool.on('connect', client => client.on('error', () => undefined))
  const dialect = new PostgresDialect({ pool: preparing(pool, config) })
  const db = new Kysely<Tables>({ dialect })
  return { db, close: () => db.destroy() }
}

/** Opens a database as requests are served from it: under the working role of the one that signs in, told for whom with every use. */
export function openTenants<Tables>(config: Omit<DatabaseConfig, 'tenants'>): Database<Tables> {
  const role = workingRoleOf(decodeURIComponent(new URL(config.url).username))
  return openDatabase<Tables>({ ...config, tenants: { role } })
}

/**
 * Hands out connections that work in their schema, under their role and for whom the work is done. All of that is said in
 * statements, since poolers in between take no options with which a connection begins. One that could not be told goes.
 */
function preparing(pool: pg.Pool, config: DatabaseConfig) {
  const begun = new WeakSet<pg.PoolClient>()
  const isChecked = config.tenants?.role !== undefined && pool.options.max >= 2
  let checking: Promise<void> | undefined
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const scope = currentScope()
      // Once, before any other connection is given out; tried again where it failed.
      if (isChecked)
        checking ??= requireOwnConnections(pool).catch(error => {
          checking = undefined
          throw error
        })
      await checking
      const client = await pool.connect()
      try {
        if (!begun.has(client)) await begin(client, config)
        begun.add(client)
        if (config.tenants) await tellScope(client, scope)
      } catch (error) {
        client.release(true)
        throw error
      }
      return client
    },
  }
}

/**
 * Refuses to work where a pooler shares connections by transaction: what one client was told of whom it works for would hold
 * for another. A client's backend is another one there as soon as somebody else is in a transaction on the one it had.
 * @throws Error
 */
async function requireOwnConnections(pool: pg.Pool): Promise<void> {
  const clients = await Promise.all([pool.connect(), pool.connect()])
  const [client, other] = clients
  const backendOf = async (of: pg.PoolClient) =>
    (await of.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
  try {
    const before = await backendOf(client)
    await other.query('begin')
    const taken = await backendOf(other)
    const after = await backendOf(client)
    if (before !== after || taken === before)
      throw new Error(
        'A pooler before PostgreSQL shares connections by transaction. That mixes up whose rows may be seen: give each client a connection of its own (PgBouncer: pool_mode = session).',
      )
    await other.query('commit')
  } catch (error) {
    for (const one of clients) one.release(true)
    throw error
  }
  for (const one of clients) one.release()
}

async function begin(client: pg.PoolClient, { schema, tenants }: DatabaseConfig): Promise<void> {
  const settings = {
    search_path: schema,
    statement_timeout: '30s',
    idle_in_transaction_session_timeout: '60s',
    // Last: whoever has it may set less.
    ...(tenants?.role === undefined ? {} : { role: tenants.role }),
  }
  const calls = Object.keys(settings).map((_, index) => `set_config($${index * 2 + 1}, $${index * 2 + 2}, false)`)
  await client.query(`select ${calls.join(', ')}`, Object.entries(settings).flat())
}

/** What each connection was told last: nothing else sets it but within a transaction, with whose end that is over. */
const told = new WeakMap<pg.PoolClient, string>()

/** Each use is for whom it says: a connection that was told of somebody else is told anew; nobody's work is told of nobody. */
async function tellScope(client: pg.PoolClient, scope: TenantScope | undefined): Promise<void> {
  const settings = scope?.system
    ? ['on', '', '', '']
    : ['', scope?.accountId ?? '', scope?.projectId ?? '', scope?.operator ? 'on' : '']
  const said = JSON.stringify(settings)
  if (told.get(client) === said) return
  told.delete(client)
  await client.query(
    `select set_config('sluice.system', $1, false), set_config('sluice.account', $2, false),
      set_config('sluice.project', $3, false), set_config('sluice.operator', $4, false)`,
    settings,
  )
  told.set(client, said)
}

/** Has statements run last in a transaction, on one way with its commit: for writes whose rows nobody needs. */
export type WithCommit = (statements: readonly Statement<unknown>[]) => void

/** Runs `work` in one transaction. @throws what `work` throws, or what goes with the commit, after the rollback */
export async function transact<Tables, Result>(
  db: Kysely<Tables>,
  work: (trx: Transaction<Tables>, withCommit: WithCommit) => Promise<Result>,
): Promise<Result> {
  let sent: Awaited<ReturnType<typeof sendTogether>> | undefined
  try {
    return await db.transaction().execute(async trx => {
      const last: Statement<unknown>[] = []
      const result = await work(trx, statements => last.push(...statements))
      sent = await sendTogether(trx, last)
      return result
    })
  } catch (error) {
    // The commit says that something has failed, the statement what.
    await sent?.results
    throw error
  }
}
