import { currentScope } from '@sluice/runtime'
import { CompiledQuery, type DatabaseConnection, Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import { workingRoleOf } from './isolate-tenants.ts'

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
    connectionString: config.url,
    max: config.maxConnections ?? 10,
    options: `-c search_path=${config.schema}${config.tenants?.role ? ` -c role=${roleName(config.tenants.role)}` : ''}`,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 30_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: `sluice-${config.schema}`,
    types,
  })
  // A connection that dies while idle is replaced on the next use; without a listener it would end the process.
  pool.on('error', () => undefined)
  // The same for one that dies between two statements of a transaction: the next statement fails, and its caller hears of it.
  pool.on('connect', client => client.on('error', () => undefined))
  const dialect = new PostgresDialect({ pool, ...(config.tenants && { onReserveConnection: tellScope }) })
  const db = new Kysely<Tables>({ dialect })
  return { db, close: () => db.destroy() }
}

/** Opens a database as requests are served from it: under the working role of the one that signs in, told for whom with every use. */
export function openTenants<Tables>(config: Omit<DatabaseConfig, 'tenants'>): Database<Tables> {
  const role = workingRoleOf(decodeURIComponent(new URL(config.url).username))
  return openDatabase<Tables>({ ...config, tenants: { role } })
}

/** What each connection was told last: nothing else sets it but within a transaction, with whose end that is over. */
const told = new WeakMap<DatabaseConnection, string>()

/** Each use is for whom it says: a connection that was told of somebody else is told anew; nobody's work is told of nobody. */
async function tellScope(connection: DatabaseConnection): Promise<void> {
  const scope = currentScope()
  const settings = scope?.system
    ? ['on', '', '', '']
    : ['', scope?.accountId ?? '', scope?.projectId ?? '', scope?.operator ? 'on' : '']
  const said = JSON.stringify(settings)
  if (told.get(connection) === said) return
  told.delete(connection)
  await connection.executeQuery(
    CompiledQuery.raw(
      `select set_config('sluice.system', $1, false), set_config('sluice.account', $2, false),
        set_config('sluice.project', $3, false), set_config('sluice.operator', $4, false)`,
      settings,
    ),
  )
  told.set(connection, said)
}

function roleName(name: string): string {
  if (!/^[A-Za-z0-9_]+$/.test(name))
    throw new Error(`role ${name} has a character that a connection's options cannot say`)
  return name
}

/** Runs `work` in one transaction. @throws what `work` throws, after the rollback */
export function transact<Tables, Result>(
  db: Kysely<Tables>,
  work: (trx: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  return db.transaction().execute(work)
}
