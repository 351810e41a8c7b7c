import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'

/** Named values of a query's `{name:Type}` places: the only way a value gets into SQL. */
export type QueryParams = Record<string, string | number | boolean | readonly string[] | readonly number[]>

/** One connection that runs one statement at a time, in the order they were given. */
export interface ClickhouseClient {
  /** Rows as JSON; 64-bit integers and sums arrive as decimal text, so that none is rounded. */
  query: <Row>(sql: string, params?: QueryParams) => Promise<Row[]>
  command: (sql: string, params?: QueryParams) => Promise<void>
  /**
   * Inserts rows as one block. A second insert with the same token within the table's deduplication window changes
   * nothing, so the token must name the rows.
   */
  insert: (table: string, rows: readonly object[], token: string) => Promise<void>
  close: () => Promise<void>
}

// An embedded session keeps the settings of the statement before: each statement names all it depends on.
const readSettings: ClickHouseSettings = { output_format_json_quote_64bit_integers: 1 }

/** Wraps the official client; `settings` go with every statement. */
export function serialClient(client: ClickHouseClient, settings: ClickHouseSettings = {}): ClickhouseClient {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work, work)
    last = result.catch(() => undefined)
    return result
  }
  const common = { ...settings, ...readSettings }
  return {
    query: <Row>(sql: string, params: QueryParams = {}) =>
      inTurn(async () => {
        const result = await client.query({
          query: sql,
          query_params: params,
          format: 'JSONEachRow',
          clickhouse_settings: common,
        })
        return (await result.json()) as Row[]
      }),
    command: (sql, params = {}) =>
      inTurn(async () => {
        await client.command({ query: sql, query_params: params, clickhouse_settings: common })
      }),
    insert: (table, rows, token) =>
      inTurn(async () => {
        await client.insert({
          table,
          values: [...rows],
          format: 'JSONEachRow',
          // One block, written when the call returns: an asynchronous insert would gather several under one token.
          clickhouse_settings: { ...common, async_insert: 0, insert_deduplication_token: token },
        })
      }),
    close: async () => {
      await last
      await client.close()
    },
  }
}
