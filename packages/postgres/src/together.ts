import type { CompiledQuery, QueryExecutorProvider, QueryResult, Transaction } from 'kysely'

/** A statement that has not run yet: one of Kysely's builders, or its `sql`. */
export interface Statement<Row> {
  compile: (executor: QueryExecutorProvider) => CompiledQuery<Row>
}

type Rows<Statements extends readonly Statement<unknown>[]> = {
  [Index in keyof Statements]: Statements[Index] extends Statement<infer Row> ? Row[] : never
}

/**
 * Runs statements that need nothing of each other's results: they are sent at once and run in their order, so that all of them take
 * one way to PostgreSQL and back. Each sees what those before it have changed, and what others have committed before it began.
 *
 * @returns the rows of each
 * @throws what the first that fails throws; none behind it has an effect, since the transaction is over
 */
export async function together<Tables, const Statements extends readonly Statement<unknown>[]>(
  trx: Transaction<Tables>,
  statements: Statements,
): Promise<Rows<Statements>> {
  const { results } = await sendTogether(trx, statements)
  return (await results).map(({ rows }) => rows) as Rows<Statements>
}

/** Sends statements as {@link together} does, and returns before they are answered: what is sent next runs behind them. */
export async function sendTogether<Tables>(
  trx: Transaction<Tables>,
  statements: readonly Statement<unknown>[],
): Promise<{ results: Promise<QueryResult<unknown>[]> }> {
  if (statements.length === 0) return { results: Promise.resolve([]) }
  const compiled = statements.map(statement => statement.compile(trx))
  // Kysely sends one statement of a transaction at a time; whoever has its connection sends as many as it likes.
  return await trx.getExecutor().provideConnection(async connection => {
    const results = Promise.all(compiled.map(one => connection.executeQuery(one)))
    // Whoever waits hears of it.
    results.catch(() => undefined)
    return { results }
  })
}
