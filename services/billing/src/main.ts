import { connectBus, consumeBatches, followCredentials } from '@sluice/bus'
import {
  gapRecord,
  letterArchive,
  openDatabase,
  openTenants,
  startOutboxRelay,
  watchCompleteness,
  watchOutbox,
} from '@sluice/postgres'
import { addGapRoutes, ClosingStack, createLogger, readOrEnd, startOperatorServer } from '@sluice/runtime'
import { completenessMetrics, metricsText, outboxMetrics } from '@sluice/telemetry'
import { sql } from 'kysely'
import { adjustmentStore } from './adjustment-store.ts'
import { buildApp } from './app.ts'
import { archiveDayStore } from './archive/archive-day-store.ts'
import { startArchiveJob } from './archive/archive-job.ts'
import { archiveReader } from './archive/archive-reader.ts'
import { openArchive } from './archive/archive-storage.ts'
import { databaseSchema, readConfig } from './config.ts'
import { watchEpochs } from './consumers/gateway-heartbeat.ts'
import { readMissedUsage } from './consumers/missed-usage.ts'
import { closedUntil, reconcileUsage, startReconciliation } from './consumers/reconcile-usage.ts'
import { startStreamRelief } from './consumers/relieve-stream.ts'
import { answerUsageLog } from './consumers/usage-log-asked.ts'
import { usageRecorded } from './consumers/usage-recorded.ts'
import { listCredits, postCredit } from './credit-store.ts'
import type { Tables } from './db/schema.ts'
import { deadLetterStore } from './dead-letter-store.ts'
import { heardEpochStore } from './heard-epoch-store.ts'
import { listLateEvents } from './late-event-store.ts'
import { ledgerStore } from './ledger-store.ts'
import { openMarksPublisher } from './marks-publisher.ts'
import { createOutboxPublisher, sentApart } from './outbox-publisher.ts'
import { findPrepaid, setPrepaid, tellBalancesAgain } from './prepaid-store.ts'
import { openPriceBookPublisher } from './price-book-publisher.ts'
import { priceBookStore } from './price-book-store.ts'
import { keepCatalogue, priceBookShelf, republishMissing } from './price-books.ts'
import { adjustments } from './routes/adjustments.ts'
import { archive } from './routes/archive.ts'
import { catalogueBooks } from './routes/catalogue-books.ts'
import { completeness } from './routes/completeness.ts'
import { deadLetters as deadLetterRoutes } from './routes/dead-letters.ts'
import { lateEvents } from './routes/late-events.ts'
import { reconciliation } from './routes/reconciliation.ts'
import { silentEpochs } from './routes/silent-epochs.ts'
import { usageHourStore } from './usage-hour-store.ts'
import { usageLogStore } from './usage-log-store.ts'
import { usageStore } from './usage-store.ts'

const config = readOrEnd(readConfig, process.env)
if (!process.argv.includes('--check-config')) await run()

async function run(): Promise<void> {
  const log = createLogger('billing', config.logLevel)
  const closing = new ClosingStack(log)
  try {
    const database = closing.use(openDatabase<Tables>({ url: config.databaseUrl, schema: databaseSchema }), 'database')
    // What requests are answered from shows them their project alone.
    const tenants = closing.use(
      openTenants<Tables>({ url: config.databaseUrl, schema: databaseSchema, maxConnections: 5 }),
      'database for requests',
    )
    const bus = closing.use(await connectBus(config.nats, 'billing', log), 'bus')
    const credentials = closing.use(await followCredentials(bus, log), 'credentials')
    const marks = closing.use(await openMarksPublisher(bus, log), 'marks')
    const usage = usageStore(database.db)
    const deadLetters = deadLetterStore(database.db)
    const discarded = letterArchive(database.db, 'dead_letter_id')
    const priceBooks = priceBookStore(database.db)
    const shelf = priceBookShelf(priceBooks)
    const days = archiveDayStore(database.db)
    const storage = config.archive && closing.use(await openArchive(config.archive), 'archive')
    const usageLog = usageLogStore(database.db, archiveReader({ storage, days }))
    const archiver = storage && {
      storage,
      days,
      log: usageLog,
      nowMs: Date.now,
      ...(config.archiveDropAfterDays === undefined ? {} : { dropAfterDays: config.archiveDropAfterDays }),
    }

    const publisher = await openPriceBookPublisher(bus, log)
    await republishMissing({ store: priceBooks, publisher })
    await keepCatalogue({ store: priceBooks, publisher, nowMs: Date.now() }, { reinstate: true })
    const catalogue = setInterval(() => {
      keepCatalogue({ store: priceBooks, publisher, nowMs: Date.now() }, { reinstate: false }).catch(err =>
        log.error({ err }, 'catalogue not imported, will be tried again'),
      )
    }, config.catalogueIntervalMs)
    closing.defer('catalogue', () => clearInterval(catalogue))

    const outbox = closing.use(
      startOutboxRelay(database.db, createOutboxPublisher(bus), { log, apart: sentApart }),
      'outbox',
    )
    closing.use(
      watchOutbox(database.db, {
        apart: sentApart,
        onWaiting: outboxMetrics('billing'),
        onError: err => log.warn({ err }, 'outbox not looked at'),
      }),
      'outbox watch',
    )
    const handle = usageRecorded({ usage, shelf, marks, onBalances: () => void outbox.flush(), log })
    await readMissedUsage(bus, { usage, handle, log })
    // Gateways hear of everything posted so far, also after the bus has lost its buckets.
    marks.note(await usage.listMarks())
    const consumer = closing.use(
      await consumeBatches(bus, 'billing-ledger', { handle, maxMessages: 64, log }),
      'consumer',
    )

    closing.use(
      watchCompleteness(database.db, {
        onState: completenessMetrics('billing'),
        onError: err => log.warn({ err }, 'completeness not looked at'),
      }),
      'completeness watch',
    )
    const silentMs = config.gatewaySilentMs
    const heardEpochs = heardEpochStore(database.db)
    const epochs = closing.use(watchEpochs(bus, { store: heardEpochs, usage, silentMs, log }), 'epoch watch')
    closing.use(answerUsageLog(bus, { store: usageLog, log }), 'usage log')
    closing.use(startStreamRelief(bus, { everyMs: config.streamCheckIntervalMs, log }), 'stream relief')
    if (archiver)
      closing.use(startArchiveJob(archiver, { everyMs: config.archiveIntervalMs, log }), 'archive of closed days')
    const hours = usageHourStore(database.db)
    const reconcileDeps = { bus, hours, nowMs: Date.now, log }
    closing.use(startReconciliation(reconcileDeps, config.reconcileIntervalMs), 'reconciliation')

    await tellBalancesAgain(database.db)
    const toldOf = async <T>(committing: Promise<T>): Promise<T> => {
      const done = await committing
      void outbox.flush()
      return done
    }
    const app = closing.use(
      buildApp({
        credentials,
        ledger: ledgerStore(tenants.db),
        priceBooks: priceBookStore(tenants.db),
        listCredits: (...args) => listCredits(tenants.db, ...args),
        findPrepaid: projectId => findPrepaid(tenants.db, projectId),
        // Posting is the owner's work: routes have asked whether they run the installation.
        postCredit: draft => toldOf(postCredit(database.db, draft)),
        setPrepaid: (...args) => toldOf(setPrepaid(database.db, ...args)),
        publisher,
        onChange: () => void outbox.flush(),
        nowMs: Date.now,
        trustedProxies: config.trustedProxies,
        log,
      }),
      'http',
    )
    await app.listen({ host: config.host, port: config.port })
    closing.use(
      await startOperatorServer({
        host: config.host,
        port: config.operatorPort,
        metrics: metricsText,
        log,
        ready: async () => {
          if (!bus.isConnected()) return 'NATS is not connected'
          if (!consumer.isHealthy()) return 'usage is not being posted'
          await sql`select 1`.execute(database.db)
          return undefined
        },
        routes: operator => {
          const gaps = gapRecord(database.db)
          completeness(operator, { usage, epochs, deadLetters, archive: discarded, gaps, silentMs, nowMs: Date.now })
          addGapRoutes(operator, { giveUp: gaps.giveUp, log })
          silentEpochs(operator, { epochs: heardEpochs, log })
          deadLetterRoutes(operator, { deadLetters, archive: discarded, shelf, log })
          lateEvents(operator, { list: limit => listLateEvents(database.db, limit) })
          archive(operator, { archiver, logger: log })
          catalogueBooks(operator, { priceBooks, publisher, nowMs: Date.now })
          reconciliation(operator, {
            reconcile: (fromMs, toMs) => reconcileUsage(reconcileDeps, fromMs, toMs),
            hours,
            closedUntil: () => closedUntil(Date.now()),
          })
          adjustments(operator, {
            adjustments: adjustmentStore(database.db),
            log: usageLog,
            shelf,
            onAdjusted: () => void outbox.flush(),
            nowMs: Date.now,
            logger: log,
          })
        },
      }),
      'operator',
    )
    log.info({ port: config.port }, 'billing is ready')
  } catch (err) {
    log.fatal({ err }, 'billing could not start')
    process.exitCode = 1
    await closing.close()
    return
  }
  await closing.untilSignal()
}
