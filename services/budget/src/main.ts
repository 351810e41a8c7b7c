import {
  answerMetBudgets,
  answerUsageHours,
  askMemberMailbox,
  askParticipantProof,
  type Bus,
  beginAtOnce,
  connectBus,
  followCredentials,
} from '@sluice/bus'
import { budgetUnits, type Cutoff, usageHoursSubjects } from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import {
  gapRecord,
  letterArchive,
  listCompleteness,
  openDatabase,
  openTenants,
  rebuildStore,
  startOutboxRelay,
  watchCompleteness,
  watchOutbox,
  whileOutboxRests,
} from '@sluice/postgres'
import { ClosingStack, createLogger, type Logger, readOrEnd, startOperatorServer } from '@sluice/runtime'
import { completenessMetrics, metricsText, outboxMetrics } from '@sluice/telemetry'
import { uuidv7 } from 'uuidv7'
import { manageAlerts } from './alerts/alert-management.ts'
import { startDeliveries } from './alerts/deliver-alerts.ts'
import { claimDeliveries, finishAttempt } from './alerts/delivery-store.ts'
import { alertSender } from './alerts/send-alert.ts'
import { mailSender } from './alerts/send-mail.ts'
import { webhookSender } from './alerts/send-webhook.ts'
import { startTelling } from './alerts/tell-requests.ts'
import { tellRequests } from './alerts/tell-requests-store.ts'
import { findWaitingAlerts } from './alerts/waiting-store.ts'
import { watchAlerts } from './alerts/watch-alerts.ts'
import { buildApp } from './app.ts'
import type { BudgetChange } from './budget-change-store.ts'
import { manageBudgets } from './budget-management-store.ts'
import { settleChangedProjects } from './changed-projects.ts'
import { type BudgetConfig, readConfig } from './config.ts'
import { consumeBalances } from './consumers/balances.ts'
import { serveLeaseRequests } from './consumers/lease-requests.ts'
import { rebuildBudgets } from './consumers/rebuild-windows.ts'
import { consumeUsage } from './consumers/usage.ts'
import { pushCutoffs } from './cutoff-publisher.ts'
import { databaseSchema } from './db/migrations/index.ts'
import type { BudgetTables } from './db/schema.ts'
import { countDeadLetters, isRefusedForGood, listDeadLetters } from './dead-letter-store.ts'
import { createDecisionBell } from './decision-bell.ts'
import {
  alertAttempted,
  askAnswered,
  cutoffsChanged,
  holdingsMeasured,
  homeSwept,
  homesOwned,
  leaseRequestDropped,
  leaseRequestUnreadable,
  leasesChanged,
  moneyRecalled,
  usageApplied,
  windowsRebuilt,
} from './events.ts'
import { applyBatch } from './homes/batch-store.ts'
import { sumHoldings } from './homes/holdings-store.ts'
import { type OwnHomes, ownHomes } from './homes/own-homes.ts'
import { forgetInstance, giveUpHomes, renewHomes } from './homes/ownership-store.ts'
import { serveHome } from './homes/serve-home.ts'
import { startSweeps } from './homes/sweep-homes.ts'
import { expireUnresolved, findDueSweeps, sweepSilent } from './homes/sweep-store.ts'
import { findMetBudgets } from './met-budgets-store.ts'
import { manageMoreRequests } from './more-request-store.ts'
import { addOperatorRoutes } from './operator-routes.ts'
import { createOutboxPublisher, sentApart } from './outbox-publisher.ts'
import { applyBalances } from './project-balance-store.ts'
import { readPublishedState } from './published-state-store.ts'
import { manageQuotas } from './quota-store.ts'
import { endRaises, listEndedRaises } from './raise-store.ts'
import { isDatabaseReady } from './readiness-store.ts'
import { adjustAgain, closeEpochs, countAgain } from './rebuild-store.ts'
import { publishRecalls } from './recall-publisher.ts'
import { startRollover } from './rollover.ts'
import { endCutoffs, findOver, keptMs, listEndedCopies, pruneOld } from './rollover-store.ts'
import { settleSeatBudgets } from './seat-budget-store.ts'
import { findPositionToReadFrom } from './series-position-store.ts'
import { forgetDeletions, repairBuckets } from './state-publisher.ts'
import { manageStops } from './stop-store.ts'
import { freeUnusedPlaces } from './told-apart-store.ts'
import { applyUsage, replayDeadLetter } from './usage-store.ts'
import { startWindowPublisher } from './window-publisher.ts'
import { listBudgetIds, listFactHours, rebuildWindows } from './window-rebuild-store.ts'
import { listWindowsToPublish } from './window-store.ts'

/** Everything this process does, in the order in which it is opened; `closing` ends it in reverse. */
export async function startBudget(config: BudgetConfig, closing: ClosingStack, log: Logger) {
  const { db } = closing.use(
    openDatabase<BudgetTables>({ url: config.databaseUrl, schema: databaseSchema }),
    'database',
  )
  // What requests are answered from shows them their project alone.
  const tenants = closing.use(
    openTenants<BudgetTables>({ url: config.databaseUrl, schema: databaseSchema, maxConnections: 5 }),
    'database for requests',
  )
  const bus: Bus = closing.use(await connectBus(config.nats, 'budget', log), 'bus')
  const send = await createOutboxPublisher(bus)
  const startedAtMs = Date.now()
  await whileOutboxRests(db, async trx => repairBuckets(bus, await readPublishedState(trx, Date.now()), log))
  const outbox = closing.use(startOutboxRelay(db, send, { log, apart: sentApart }), 'outbox')
  closing.use(
    watchOutbox(db, {
      apart: sentApart,
      onWaiting: outboxMetrics('budget'),
      onError: err => log.warn({ err }, 'outbox not looked at'),
    }),
    'outbox watch',
  )
  const windows = closing.use(
    await startWindowPublisher(bus, copies => listWindowsToPublish(db, Date.now(), copies), {
      log,
      intervalMs: config.windowIntervalMs,
    }),
    'windows',
  )

  // After each commit: first the push that ends calls, then what is only shown.
  const tell = (cutoffs: readonly Cutoff[], copies: readonly { budgetId: string; copy: string }[]) => {
    pushCutoffs(bus, cutoffs)
    void outbox.flush()
    windows.touch(copies)
    cutoffsChanged(log, cutoffs)
  }

  const findWindow = createWindowFinder()
  const consumer = closing.use(
    await consumeUsage(bus, {
      apply: async messages => {
        const startedAt = performance.now()
        const applied = await applyUsage(db, messages, findWindow, Date.now())
        tell(applied.cutoffs, applied.copies)
        usageApplied(log, applied, (performance.now() - startedAt) / 1_000)
      },
      findPositionToReadFrom: () => findPositionToReadFrom(db),
      log,
    }),
    'usage consumer',
  )
  const balances = closing.use(
    await consumeBalances(bus, {
      apply: async told => {
        const changed = await applyBalances(db, told)
        if (changed > 0) void outbox.flush()
      },
      log,
    }),
    'balances consumer',
  )
  const owner = `budget-${uuidv7()}`
  const holdersToldAt = new Map<number, number>()
  const homes: OwnHomes = closing.use(
    await ownHomes({
      renew: async owned => {
        const renewed = await renewHomes(db, owner, owned)
        homesOwned(renewed.owned.length)
        return renewed
      },
      giveUp: given => giveUpHomes(db, owner, given),
      isReachable: bus.isConnected,
      forget: () => forgetInstance(db, owner),
      serve: (owned, drop) =>
        serveHome(
          {
            apply: (home, commands, isWorthRecall) =>
              applyBatch(
                { db, owner, findWindow, silentMs: config.silentMs, holdersToldAt, isWorthRecall },
                home,
                commands,
              ),
            listen: (home, push) =>
              serveLeaseRequests(bus, home, {
                push,
                onBad: (subject, error) => leaseRequestUnreadable(log, subject, error),
              }),
            isRefusal: isRefusedForGood,
            recall: (home, leases) => {
              publishRecalls(bus, home, leases)
              moneyRecalled(leases.length)
            },
            onApplied: batch => {
              if (batch.cutoffs.length > 0) tell(batch.cutoffs, batch.copies)
              else windows.touch(batch.copies)
              leasesChanged(batch)
            },
            onAnswered: ask => askAnswered(ask.receivedAt),
            onDropped: leaseRequestDropped,
            log,
          },
          owned,
          drop,
        ),
      log,
    }),
    'homes',
  )
  closing.use(
    startSweeps({
      owned: () => homes.owned,
      findDue: (homes, since) => findDueSweeps(db, homes, since),
      sweepSilent: (home, silentBeforeMs, nowMs) => sweepSilent(db, owner, home, silentBeforeMs, nowMs),
      expireUnresolved: (home, sinceMs, nowMs) => expireUnresolved(db, owner, home, sinceMs, nowMs),
      onSwept: swept => {
        windows.touch(swept.copies)
        homeSwept(log, swept)
      },
      measure: async () =>
        holdingsMeasured(
          budgetUnits,
          await sumHoldings(
            db,
            homes.owned.map(({ home }) => home),
          ),
        ),
      silentMs: config.silentMs,
      unresolvedMs: config.unresolvedMs,
      intervalMs: config.rolloverIntervalMs,
      log,
    }),
    'sweeps',
  )
  const decisions = createDecisionBell()
  const changed = ({ cutoffs, copies, recall, closedRequests = [] }: Omit<BudgetChange, 'budget'>) => {
    tell(cutoffs, copies)
    for (const requestId of closedRequests) decisions.ring(requestId)
    if (recall) publishRecalls(bus, recall.owned, recall.leases)
  }
  // Buckets are repaired: what has ended before is not in them.
  let endedUntilMs = startedAtMs
  let freedAtMs = 0
  let prunedAtMs = 0
  let forgottenAtMs = 0
  closing.use(
    startRollover({
      findOver: nowMs => findOver(db, nowMs),
      endRaises: async nowMs => {
        for (const { parent, budgetId } of await listEndedRaises(db, nowMs)) {
          const change = await endRaises(db, parent, budgetId, nowMs)
          if (change) changed(change)
        }
      },
      tellEnded: async nowMs => {
        windows.touch(await listEndedCopies(db, endedUntilMs, nowMs))
        endedUntilMs = nowMs
      },
      freePlaces: async nowMs => {
        // All that run are looked through.
        if (nowMs - freedAtMs < 60_000) return
        freedAtMs = nowMs
        windows.touch(await freeUnusedPlaces(db, nowMs))
      },
      forgetDeletions: async nowMs => {
        // The whole of the buckets is looked through.
        if (nowMs - forgottenAtMs < 60 * 60_000) return
        forgottenAtMs = nowMs
        if (await forgetDeletions(bus, nowMs)) forgottenAtMs = 0
      },
      endCutoffs: nowMs => endCutoffs(db, nowMs),
      pruneOld: async nowMs => {
        // Whatever is kept is kept for days.
        if (nowMs - prunedAtMs < 60_000) return false
        const isMore = await pruneOld(db, nowMs)
        if (!isMore) prunedAtMs = nowMs
        return isMore
      },
      onChange: cutoffs => tell(cutoffs, []),
      intervalMs: config.rolloverIntervalMs,
      log,
    }),
    'rollover',
  )

  const newBudgetId = () => `bud_${uuidv7()}`
  const projects = closing.use(
    settleChangedProjects(
      async project => {
        for (const change of await settleSeatBudgets(db, project, newBudgetId, Date.now())) changed(change)
      },
      { log },
    ),
    'seat budgets',
  )
  const views = closing.use(await followCredentials(bus, log, { onProject: projects.note }), 'credentials')

  const memory = rebuildStore(db)
  const rebuilds = closing.use(
    rebuildBudgets(bus, {
      memory,
      countAgain: async batches => {
        const nowMs = Date.now()
        const { cutoffs, copies } = await countAgain(db, batches, findWindow, nowMs, nowMs - keptMs)
        tell(cutoffs, copies)
      },
      adjustAgain: async adjusted => {
        const { cutoffs, copies } = await adjustAgain(db, adjusted, findWindow, Date.now())
        tell(cutoffs, copies)
      },
      closeEpochs: closed => closeEpochs(db, closed),
      rebuildWindows: async signal => {
        for (const { parent, budgetId } of await listBudgetIds(db)) {
          signal.throwIfAborted()
          const nowMs = Date.now()
          const rebuilt = await rebuildWindows(db, parent, budgetId, findWindow, nowMs, nowMs - keptMs)
          tell(rebuilt.cutoffs, rebuilt.copies)
          windowsRebuilt(log, budgetId, rebuilt.corrected)
        }
      },
      log,
    }),
    'rebuild',
  )
  closing.use(
    answerUsageHours(bus, usageHoursSubjects.budget, query => listFactHours(db, query), log),
    'sums by hour',
  )
  closing.use(
    answerMetBudgets(bus, request => findMetBudgets(db, request, findWindow), log),
    'budgets of a call',
  )

  closing.use(
    watchCompleteness(db, {
      onState: completenessMetrics('budget'),
      onError: err => log.warn({ err }, 'completeness not looked at'),
    }),
    'completeness watch',
  )

  const telling = closing.use(
    startTelling({
      tell: () =>
        tellRequests(db, {
          sendsMail: config.mail !== undefined,
          publicOrigin: config.publicOrigin,
          nowMs: Date.now(),
        }),
      log,
    }),
    'requests to be told of',
  )
  const deliveries = closing.use(
    startDeliveries({
      claim: asked => claimDeliveries(db, uuidv7(), { ...asked, nowMs: Date.now() }),
      send: alertSender({
        sendWebhook: webhookSender({ box: config.secretBox, allowPrivate: config.allowPrivateUpstreams }),
        sendMail: mailSender(config.mail),
        findMailbox: (project_id, member_id) => askMemberMailbox(bus, { project_id, member_id }),
        now: Date.now,
      }),
      finish: (delivery, outcome) => finishAttempt(db, delivery, outcome, Date.now()),
      onAttempt: (...attempt) => alertAttempted(log, ...attempt),
      log,
    }),
    'alerts',
  )
  closing.use(
    watchAlerts({
      findWaiting: () => findWaitingAlerts(db, Date.now()),
      tell: telling.look,
      deliver: deliveries.look,
      pollMs: config.alertPollMs,
      log,
    }),
    'alerts that wait',
  )

  const app = closing.use(
    buildApp(
      {
        budgets: manageBudgets(tenants.db, changed),
        moreRequests: manageMoreRequests(tenants.db, { onRaised: changed, onDecided: decisions.ring }),
        decisions,
        quotas: manageQuotas(tenants.db, changed),
        alerts: manageAlerts(tenants.db),
        stops: manageStops(tenants.db, () => void outbox.flush()),
        views,
        prove: token => askParticipantProof(bus, token),
        newBudgetId,
        newRaiseId: () => `rai_${uuidv7()}`,
        newRequestId: () => `req_${uuidv7()}`,
        newStopId: () => `stp_${uuidv7()}`,
        newDestinationId: () => `ald_${uuidv7()}`,
        secretBox: config.secretBox,
        sendsMail: config.mail !== undefined,
        allowPrivateUpstreams: config.allowPrivateUpstreams,
        publicOrigin: config.publicOrigin,
        now: Date.now,
        trustedProxies: config.trustedProxies,
      },
      log,
    ),
    'routes',
  )
  // First: nobody is ready whose routes do not answer.
  await app.listen({ host: config.host, port: config.port })
  const operator = closing.use(
    await startOperatorServer({
      host: config.host,
      port: config.operatorPort,
      metrics: metricsText,
      log,
      ready: async () => {
        if (!bus.isConnected()) return 'NATS'
        if (!(await isDatabaseReady(db))) return 'PostgreSQL'
        if (!balances.isHealthy()) return 'balances consumer'
        return consumer.isHealthy() ? undefined : 'usage consumer'
      },
      routes: operatorApp =>
        addOperatorRoutes(operatorApp, {
          completeness: () => listCompleteness(db),
          countDeadLetters: () => countDeadLetters(db),
          listDeadLetters: limit => listDeadLetters(db, limit),
          archive: letterArchive(db, 'id'),
          gaps: gapRecord(db),
          memory: beginAtOnce(memory, rebuilds),
          log,
          replay: async id => {
            const replay = await replayDeadLetter(db, id, findWindow, Date.now())
            if (replay.outcome === 'applied') tell(replay.spend.cutoffs, replay.spend.copies)
            return replay.outcome
          },
        }),
    }),
    'operator server',
  )
  log.info({ port: config.port, operatorPort: operator.port }, 'listening')
  return { app, bus, db, homes, operatorPort: operator.port }
}

if (import.meta.main) {
  const config = readOrEnd(readConfig, process.env)
  if (!process.argv.includes('--check-config')) {
    const log = createLogger('budget', config.logLevel)
    const closing = new ClosingStack(log)
    try {
      await startBudget(config, closing, log)
    } catch (error) {
      await closing.close()
      throw error
    }
    await closing.untilSignal()
  }
}
