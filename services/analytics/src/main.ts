import { answerUsageHours, askMetBudgets, beginAtOnce, connectBus, followCredentials } from '@sluice/bus'
import { openClickhouse, runClickhouseMigrations } from '@sluice/clickhouse'
import { usageHoursSubjects } from '@sluice/contracts'
import { gapRecord, letterArchive, openDatabase, rebuildStore, watchCompleteness } from '@sluice/postgres'
import { ClosingStack, createLogger, readOrEnd, startOperatorServer } from '@sluice/runtime'
import { completenessMetrics, metricsText } from '@sluice/telemetry'
import { buildApp } from './app.ts'
import { readConfig } from './config.ts'
import { consumeRefused } from './consumers/call-refused.ts'
import { rebuildRows } from './consumers/rebuild-rows.ts'
import { consumeUsage } from './consumers/usage-recorded.ts'
import type { AnalyticsTables } from './db/schema.ts'
import { deadLetterStore } from './dead-letter-store.ts'
import { insertLogStore } from './insert-log-store.ts'
import { clickhouseSteps } from './migrate.ts'
import { queriesForRoutes } from './query-store.ts'
import { rebuildLogStore } from './rebuild-log-store.ts'
import { recentCalls } from './recent-calls.ts'
import { refusedRowStore } from './refused-row-store.ts'
import { startRollups } from './rollup-job.ts'
import { rollupStore } from './rollup-store.ts'
import { operatorRoutes } from './routes/operator-routes.ts'
import { tenantQueries } from './tenant-query-store.ts'
import { usageHourStore } from './usage-hour-store.ts'
import { usageRowStore } from './usage-row-store.ts'
import { usageSumStore } from './usage-sum-store.ts'

const config = readOrEnd(readConfig, process.env)
// Embedded ClickHouse runs each statement on a thread of Node's pool: with the default of four, four slow reports would
// hold up inserts, files and name look-ups. Read when the pool is first used, which is later.
process.env.UV_THREADPOOL_SIZE ??= '12'
if (process.argv.includes('--check-config')) process.exit(0)
const logger = createLogger('analytics', config.logLevel)
const closing = new ClosingStack(logger)

const clickhouse = closing.use(await openClickhouse(config.clickhouse), 'clickhouse')
if ('chdbDir' in config.clickhouse) await runClickhouseMigrations(clickhouse.writer, clickhouseSteps)
const database = closing.use(
  openDatabase<AnalyticsTables>({ url: config.databaseUrl, schema: 'analytics' }),
  'database',
)
const bus = closing.use(await connectBus(config.nats, 'analytics', logger), 'bus')
const credentials = closing.use(await followCredentials(bus, logger), 'credentials')

const log = insertLogStore(database.db)
const deadLetters = deadLetterStore(database.db)
const queries = queriesForRoutes(clickhouse.queries)
const rows = usageRowStore(clickhouse.writer, queries)
const refused = refusedRowStore(clickhouse.writer, queries)
const rollups = rollupStore(database.db, clickhouse.rollups)
const recent = recentCalls()
// What requests are answered from shows them what is their caller's alone.
const own = tenantQueries(queries)
const forRequests = {
  rows: usageRowStore(clickhouse.writer, own),
  refused: refusedRowStore(clickhouse.writer, own),
  sums: usageSumStore({ queries: own, listDirtyHours: rollups.listDirtyHours }),
}

const { trustedProxies } = config
const app = buildApp({
  credentials,
  ...forRequests,
  recent,
  askMetBudgets: request => askMetBudgets(bus, request),
  now: Date.now,
  trustedProxies,
  logger,
})
closing.use(app, 'app')
await app.listen({ host: config.host, port: config.port })

const { insertWindowMs } = config
const usageConsumer = closing.use(consumeUsage(bus, { log, rows, recent, logger, insertWindowMs }), 'usage consumer')
const refusedConsumer = closing.use(
  await consumeRefused(bus, { refused, deadLetters, recent, logger, insertWindowMs }),
  'refused consumer',
)
closing.use(startRollups(rollups, { everyMs: config.rollupEveryMs, logger }), 'rollups')
const memory = rebuildStore(database.db)
const rebuilds = closing.use(
  rebuildRows(bus, { log, rows, again: rebuildLogStore(database.db), memory, logger }),
  'rebuild',
)
const hours = usageHourStore(queries)
closing.use(answerUsageHours(bus, usageHoursSubjects.analytics_rows, hours.sumRows, logger), 'sums of rows')
closing.use(answerUsageHours(bus, usageHoursSubjects.analytics_rollups, hours.sumRollups, logger), 'sums of rollups')

closing.use(
  watchCompleteness(database.db, {
    onState: completenessMetrics('analytics'),
    onError: err => logger.warn({ err }, 'completeness not looked at'),
  }),
  'completeness watch',
)

const operator = closing.use(
  await startOperatorServer({
    host: config.host,
    port: config.operatorPort,
    ready: () => {
      if (!bus.isConnected()) return 'the bus is away'
      return usageConsumer.isHealthy() && refusedConsumer.isHealthy() ? undefined : 'rows cannot be written'
    },
    metrics: metricsText,
    routes: operatorRoutes({
      memory: beginAtOnce(memory, rebuilds),
      deadLetters,
      archive: letterArchive(database.db, 'id'),
      gaps: gapRecord(database.db),
      log,
      rows,
      logger,
    }),
  }),
  'operator',
)
logger.info({ addresses: app.addresses(), operatorPort: operator.port }, 'listening')
await closing.untilSignal()
