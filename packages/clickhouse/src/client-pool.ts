import type { ClickhouseClient, QueryParams } from './clickhouse-client.ts'
import { ClickhouseBusyError } from './clickhouse-error.ts'

/** Several clients for reading: a long scan does not hold up the next query. */
export interface ClickhousePool {
  /** Runs on a free client, or waits for one in turn. @throws ClickhouseBusyError where too many wait */
  query: <Row>(sql: string, params?: QueryParams) => Promise<Row[]>
  close: () => Promise<void>
}

/** Hands queries to whichever client is free; at most `maxWaiting` wait. */
export function clientPool(clients: readonly ClickhouseClient[], maxWaiting = 64): ClickhousePool {
  const free = [...clients]
  const waiting: ((client: ClickhouseClient) => void)[] = []

  function take(): Promise<ClickhouseClient> | ClickhouseClient {
    const client = free.pop()
    if (client) return client
    if (waiting.length >= maxWaiting) throw new ClickhouseBusyError(`${waiting.length} queries wait already`)
    return new Promise(resolve => waiting.push(resolve))
  }

  return {
    query: async (sql, params) => {
      const client = await take()
      try {
        return await client.query(sql, params)
      } finally {
        const next = waiting.shift()
        if (next) next(client)
        else free.push(client)
      }
    },
    close: async () => {
      await Promise.all(clients.map(client => client.close()))
    },
  }
}
