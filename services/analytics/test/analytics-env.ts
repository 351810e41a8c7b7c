import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askMetBudgets, type BatchConsumer, type Bus, connectBus } from '@sluice/bus'
import { type Clickhouse, type ClickhousePool, openClickhouse, runClickhouseMigrations } from '@sluice/clickhouse'
import {
  CallRefused,
  type CallRefusedData,
  type MetBudgets,
  type MetBudgetsRequest,
  UsageAdjusted,
  type UsageAdjustedData,
} from '@sluice/contracts'
import { type Database, openDatabase } from '@sluice/postgres'
import { createLogger } from '@sluice/runtime'
import { atFileEnd, publishStored, type TestNats, type TestScope, testNats, testPostgres } from '@sluice/test-env'
import { consumeRefused } from '../src/consumers/call-refused.ts'
import { consumeUsage } from '../src/consumers/usage-recorded.ts'
import type { AnalyticsTables } from '../src/db/schema.ts'
import { deadLetterStore } from '../src/dead-letter-store.ts'
import { type InsertLogStore, insertLogStore } from '../src/insert-log-store.ts'
import { clickhouseSteps, migrateDatabase } from '../src/migrate.ts'
import { type RecentCalls, recentCalls } from '../src/recent-calls.ts'
import { refusedRowStore } from '../src/refused-row-store.ts'
import { rollupStore } from '../src/rollup-store.ts'
import { tenantQueries } from '../src/tenant-query-store.ts'
import { usageRowStore } from '../src/usage-row-store.ts'
import { usageSumStore } from '../src/usage-sum-store.ts'

export const logger = createLogger('analytics', process.env.SLUICE_TEST_LOG ?? 'silent')

/** The stores of one test file: real PostgreSQL, NATS and ClickHouse. */
export interface AnalyticsEnv {
  nats: TestNats
  bus: Bus
  clickhouse: Clickhouse
  database: Database<AnalyticsTables>
  log: InsertLogStore
  rows: ReturnType<typeof usageRowStore>
  refused: ReturnType<typeof refusedRowStore>
  sums: ReturnType<typeof usageSumStore>
  rollups: ReturnType<typeof rollupStore>
  /** What routes are answered from. */
  forRequests: RequestStores
  requestStores: (queries: ClickhousePool) => RequestStores
  /** A consumer as `main.ts` starts it. `log` may be one that breaks. */
  startUsage: (options?: { log?: InsertLogStore; insertWindowMs?: number }) => StartedUsage
  startRefused: (recent: RecentCalls) => Promise<BatchConsumer>
  /** Of a budget service that is not there, unless the test answers for it. */
  askMetBudgets: (request: MetBudgetsRequest) => Promise<MetBudgets>
  publishAdjusted: (adjusted: UsageAdjustedData) => Promise<void>
  publishRefused: (refused: CallRefusedData) => Promise<void>
  /** Closes something at the end of the file, before what was opened earlier. */
  defer: (close: () => Promise<void>) => void
}

export interface RequestStores {
  rows: ReturnType<typeof usageRowStore>
  refused: ReturnType<typeof refusedRowStore>
  sums: ReturnType<typeof usageSumStore>
}

export interface StartedUsage {
  consumer: BatchConsumer
  recent: RecentCalls
}

/** Opens the stores; one ClickHouse a file, since it takes memory and time. */
export async function openAnalyticsEnv(): Promise<AnalyticsEnv> {
  // What was opened last closes first.
  const steps: (() => void | Promise<void>)[] = []
  const scope: TestScope = { after: step => steps.push(step) }
  const folder = mkdtempSync(join(tmpdir(), 'sluice-analytics-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  const [nats, postgres] = await Promise.all([testNats(scope), testPostgres(scope, { schemas: ['analytics'] })])
  const clickhouse = await openClickhouse({ chdbDir: join(folder, 'chdb') })
  await runClickhouseMigrations(clickhouse.writer, clickhouseSteps)
  await migrateDatabase(postgres.url)
  const database = openDatabase<AnalyticsTables>({ url: postgres.url, schema: 'analytics', maxConnections: 4 })
  const { user, pass } = nats.users.analytics
  const bus = await connectBus({ url: nats.url, user, password: pass }, 'analytics', logger)
  scope.after(async () => {
    await bus.close()
    await database.close()
    await clickhouse.close()
  })

  // Before the server of the database stops, whose step is there already.
  atFileEnd(async () => {
    for (const step of steps.reverse()) await step()
  })

  const log = insertLogStore(database.db)
  const rows = usageRowStore(clickhouse.writer, clickhouse.queries)
  const rollups = rollupStore(database.db, clickhouse.rollups)
  const refused = refusedRowStore(clickhouse.writer, clickhouse.queries)
  const requestStores = (queries: ClickhousePool): RequestStores => ({
    rows: usageRowStore(clickhouse.writer, queries),
    refused: refusedRowStore(clickhouse.writer, queries),
    sums: usageSumStore({ queries, listDirtyHours: rollups.listDirtyHours }),
  })
  const publish = (subject: string, body: string) => publishStored(nats.admin, subject, body)
  return {
    nats,
    bus,
    clickhouse,
    database,
    log,
    rows,
    refused,
    sums: usageSumStore({ queries: clickhouse.queries, listDirtyHours: rollups.listDirtyHours }),
    rollups,
    forRequests: requestStores(tenantQueries(clickhouse.queries)),
    requestStores,
    startUsage: (options = {}) => {
      const recent = recentCalls()
      const consumer = consumeUsage(bus, {
        log: options.log ?? log,
        rows,
        recent,
        logger,
        insertWindowMs: options.insertWindowMs ?? 0,
      })
      scope.after(() => consumer.close())
      return { consumer, recent }
    },
    startRefused: async recent => {
      const deadLetters = deadLetterStore(database.db)
      const consumer = await consumeRefused(bus, { refused, deadLetters, recent, logger, insertWindowMs: 0 })
      scope.after(() => consumer.close())
      return consumer
    },
    askMetBudgets: request => askMetBudgets(bus, request),
    publishAdjusted: adjusted => publish(UsageAdjusted.subject(), UsageAdjusted.encode(adjusted)),
    defer: close => scope.after(close),
    publishRefused: data => publish(CallRefused.subject(0), CallRefused.encode(data)),
  }
}
