import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'

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
    options: `-c search_path=${config.schema}`,
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
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return { db, close: () => db.destroy() }
}

/** Runs `work` in one transaction. @throws what `work` throws, after the rollback */
export function transact<Tables, Result>(
  db: Kysely<Tables>,
  work: (trx: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  return db.transaction().execute(work)
}
