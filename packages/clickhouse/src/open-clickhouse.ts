import { mkdirSync } from 'node:fs'
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { type ClickhouseClient, serialClient } from './clickhouse-client.ts'
import { type ClickhousePool, clientPool } from './client-pool.ts'

/** In-process with its data in a directory of this process alone, or a server. The code that uses it is the same. */
export type ClickhouseTarget = { chdbDir: string } | { url: string }

export interface Clickhouse {
  /** For inserts and migrations. */
  writer: ClickhouseClient
  /** For recomputing rollups. */
  rollups: ClickhouseClient
  /** For questions: four clients. */
  queries: ClickhousePool
  close: () => Promise<void>
}

const queryClients = 4
/** Longer than any report should take, shorter than a caller waits. */
const querySeconds = 20

/**
 * Opens the clients. A server is not asked for yet: the first statement finds out whether it is there. Embedded, the
 * library is loaded here, which takes 0.2 to 0.7 s.
 * @throws where it is to be embedded on a platform for which there is no library, saying what to do
 */
export async function openClickhouse(target: ClickhouseTarget): Promise<Clickhouse> {
  const { open, end } =
    'url' in target ? { open: () => openRemote(target.url), end: () => {} } : await openEmbedded(target.chdbDir)
  const writer = serialClient(open())
  const rollups = serialClient(open())
  const queries = clientPool(
    Array.from({ length: queryClients }, () => serialClient(open(), { max_execution_time: querySeconds })),
  )
  return {
    writer,
    rollups,
    queries,
    close: async () => {
      await Promise.all([queries.close(), rollups.close(), writer.close()])
      end()
    },
  }
}

type InjectedConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>

// What goes wrong is thrown, and logged by whoever catches it: the client's own log would say it twice and with the SQL.
const quiet = { log: { level: ClickHouseLogLevel.OFF } }

function openRemote(url: string): ClickHouseClient {
  return createClient({ url, ...quiet, application: 'sluice', request_timeout: 60_000, max_open_connections: 1 })
}

/** How often it looks after its memory; by itself it would twenty times a second, which is most of what it does while it is idle. */
const memoryPeriodMs = 1_000

async function openEmbedded(dir: string): Promise<{ open: () => ClickHouseClient; end: () => void }> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const { createChdbConnection } = await import('chdb/connection').catch(refuseOn)
  const { Session } = await import('chdb')
  // All connections share one engine, and the first that is opened says how it runs.
  const first = new Session(dir, { connectionArgs: [`--memory_worker_period_ms=${memoryPeriodMs}`] })
  // The two packages carry the same interface in two releases of its declaration.
  const connect = () => createChdbConnection({ path: dir }) as unknown as InjectedConnection
  return { open: () => createClient({ connection: connect(), ...quiet }), end: () => first.close() }
}

function refuseOn(cause: unknown): never {
  if (!(cause instanceof Error && cause.name === 'ChdbPlatformUnsupportedError')) throw cause
  throw new Error(
    `ClickHouse cannot be embedded on ${process.platform}-${process.arch}: its package has no build for it. Set CLICKHOUSE_URL to a ClickHouse server.`,
    { cause },
  )
}
