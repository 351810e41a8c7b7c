import type { CompiledQuery, QueryExecutorProvider, Transaction } from 'kysely'

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
  if (statements.length === 0) return [] as Rows<Statements>
  const compiled = statements.map(statement => statement.compile(trx))
  // Kysely sends one statement of a transaction at a time; whoever has its connection sends as many as it likes.
  const results = await trx
    .getExecutor()
    .provideConnection(connection => Promise.all(compiled.map(one => connection.executeQuery(one))))
  return results.map(({ rows }) => rows) as Rows<Statements>
}
