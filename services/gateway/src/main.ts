import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { answerRequests, connectBus } from '@sluice/bus'
import { IntegrationTestRequest, IntegrationTestResult, integrationTestSubject } from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import { ClosingStack, createLogger, createSecretBox, readOrEnd, startOperatorServer } from '@sluice/runtime'
import { metricsText, noSpans, openSpans } from '@sluice/telemetry'
import { createAdmissionGate } from './admission-gate.ts'
import { type AppDeps, buildApp } from './app.ts'
import { createBatchEvents } from './batches/batch-events.ts'
import { BatchPoller } from './batches/batch-poller.ts'
import { FileWriters } from './batches/file-writers.ts'
import { BatchFinder } from './batches/found-batches.ts'
import { batchRoutes } from './batches/operator-routes.ts'
import { CountedPrompts } from './bounds/counted-prompts.ts'
import { TextCounting } from './bounds/text-counting.ts'
import { readConfig } from './config.ts'
import { Drains } from './drains.ts'
import { createGatewayEvents } from './events.ts'
import { createFront } from './front-routes.ts'
import { startHeartbeat, tellJournal } from './heartbeat-publisher.ts'
import { openJournal } from './journal/journal.ts'
import { startTellingKeysUsed } from './keys-used-publisher.ts'
import { EndedRuns } from './leases/ended-runs.ts'
import { LeaseClient } from './leases/lease-client.ts'
import { createLeasePublisher } from './leases/lease-publisher.ts'
import { nextWindowOf } from './leases/next-window.ts'
import { leaseRoutes } from './leases/operator-routes.ts'
import { TokenLengths } from './leases/token-lengths.ts'
import { UnknownAllowance } from './leases/unknown-allowance.ts'
import { LiveCalls } from './live-calls.ts'
import { openOwnCredentials } from './own-credentials.ts'
import { classNotOpen } from './path-class.ts'
import { rateKilled } from './rate-killed.ts'
import { BodyMemory } from './read-request.ts'
import { problemOfJournal, whyNotReady } from './readiness.ts'
import { rememberContainer } from './references/remember-made.ts'
import { createRefusedPublisher } from './refused-publisher.ts'
import { RouteResolver } from './resolve-route.ts'
import { CallKeeper } from './sockets/call-keeper.ts'
import { createClientSecretBox } from './sockets/client-secret.ts'
import { callsFolder, KnownCalls } from './sockets/known-calls.ts'
import { createSockets } from './sockets/socket-upgrade.ts'
import { cutBudget, cutKey, cutProject, cutRoom, cutStopped, endAllCalls } from './stop-calls.ts'
import { BackgroundPoller } from './stored/background-poller.ts'
import { testIntegration } from './test-integration.ts'
import { TokenCache } from './token-cache.ts'
import { TokenCounter } from './token-counter.ts'
import { SoundMeter } from './uploads/sound-meter.ts'
import { Spool } from './uploads/spool.ts'
import { createUpstreams } from './upstreams.ts'
import { followBatchJobs } from './views/batch-jobs-view.ts'
import { followBudgets } from './views/budgets-view.ts'
import { ContainersView } from './views/containers-view.ts'
import { followKeys } from './views/keys-view.ts'
import { MadeObjects } from './views/made-objects-view.ts'
import { followManagedIntegrations } from './views/managed-integrations-view.ts'
import { followPrices } from './views/prices-view.ts'
import { followProjects } from './views/projects-view.ts'
import { RealtimeCalls } from './views/realtime-calls-view.ts'
import { followRooms } from './views/rooms-view.ts'
import { runningHolders } from './views/running-holders.ts'
import { openStoredFiles } from './views/stored-files-view.ts'
import { StoredResponses } from './views/stored-responses-view.ts'

// A few bytes that a slow call keeps hold on to all of their slab: with Node's 64 kB, as much as everything else it keeps.
Buffer.poolSize = 8 * 1024

const { config, secrets } = readOrEnd(readConfig, process.env)
if (process.argv.includes('--check-config')) process.exit(0)
const log = createLogger('gateway', config.logLevel)
const closing = new ClosingStack(log)

const spans = config.tracesExported ? await openSpans({ serviceName: 'gateway', ratio: config.traceRatio }) : noSpans
closing.defer('spans', () => spans.close())
const events = createGatewayEvents(log, spans)
const bus = closing.use(await connectBus(config.nats, 'gateway', log), 'bus')

const liveCalls = new LiveCalls(events.internalError)
const drains = new Drains(config.maxDrains, events.drainRefused)
const bodyMemory = new BodyMemory(config.maxBodyMemoryBytes)
const sockets = createSockets(config.sockets, events.internalError)
const tokens = new TokenCache()
const secretBox = createSecretBox(secrets.masterKey)
const credentials = closing.use(
  openOwnCredentials({
    environment: process.env,
    directory: config.credentialsDir,
    onChange: () => routes.forget(),
  }),
  'credentials',
)
const routes = new RouteResolver({
  managed: secrets.managed,
  findManaged: dialect => managed.find(dialect),
  secretBox,
  allowPrivateUpstreams: config.allowPrivateUpstreams,
  readCredential: credentials.read,
})
const managed = closing.use(
  await followManagedIntegrations(bus, log, () => {
    routes.forget()
    sockets.leaveFormerManaged(projectId => (dialect, teamId) => {
      const project = projects.find(projectId)
      return project && routes.resolve(project, dialect, teamId)
    })
  }),
  'managed integrations view',
)
const keys = closing.use(
  await followKeys(bus, {
    secretBox,
    log,
    onChange: (keyId, usable) => {
      tokens.dropKey(keyId)
      if (!usable) events.callsCut(cutKey(liveCalls, keyId) + cutKey(sockets.live, keyId), 'credential_revoked')
      else
        sockets.leaveFormerTeam(keyId, projectId => (dialect, teamId) => {
          const project = projects.find(projectId)
          return project && routes.resolve(project, dialect, teamId)
        })
    },
  }),
  'keys view',
)
const projects = closing.use(
  await followProjects(bus, log, (projectId, project) => {
    if (project && !project.disabled && project.path_classes?.realtime_calls !== true) {
      const refusal = classNotOpen('A client secret', 'realtime_calls', project)
      const cut = sockets.cutClientSecrets(projectId, refusal)
      if (cut > 0) events.callsCut(cut, 'path_not_open')
    }
    if (project) sockets.leaveFormer(projectId, (dialect, teamId) => routes.resolve(project, dialect, teamId))
    if (!project || project.disabled)
      events.callsCut(cutProject(liveCalls, projectId) + cutProject(sockets.live, projectId), 'project_disabled')
  }),
  'projects view',
)
const rooms = closing.use(
  await followRooms(bus, log, (projectId, room, state) => {
    if (state === undefined || state === 'open') return
    const changed = { projectId, room, state }
    const cut = cutRoom(liveCalls, keys, changed) + cutRoom(sockets.live, keys, changed)
    if (cut > 0) events.callsCut(cut, state === 'closed' ? 'room_closed' : 'room_not_granted')
  }),
  'rooms view',
)
const budgets = closing.use(
  await followBudgets(bus, log, {
    onCutoff: (cutoff, running) =>
      events.callsCut(cutBudget(liveCalls, cutoff, running) + cutBudget(sockets.live, cutoff, running), cutoff.reason),
    onStop: stop =>
      events.callsCut(cutStopped(liveCalls, stop) + cutStopped(sockets.live, stop), stop.kind ?? 'stopped_by_admin'),
  }),
  'budgets view',
)
const prices = closing.use(await followPrices(bus, log), 'prices view')
const records = closing.use(await StoredResponses.open(bus, log), 'stored responses')
const containers = closing.use(await ContainersView.open(bus, log), 'containers')
const made = closing.use(await MadeObjects.open(bus, log), 'made objects')
const jobs = closing.use(await followBatchJobs(bus, log), 'batches view')
const realtimeCalls = closing.use(await RealtimeCalls.open(bus, log), 'realtime calls view')
/** Notes of calls that runs which have ended were making. */
const notedCalls = [sockets.calls]
const leasePublisher = createLeasePublisher(bus, log)
const endedRuns = closing.use(new EndedRuns(leasePublisher), 'ended runs')
/** Known once the journal says which run this is. */
let openLeases: LeaseClient | undefined
const journal = await openJournal({
  directory: config.journalDir,
  root: config.journalRoot,
  mode: config.journalMode,
  securedTimeoutMs: config.journalWaitMs,
  bus,
  log,
  rate: (draft, parts) => rateKilled(prices, draft, parts),
  recordBackground: async job => {
    if (!(await records.register(job))) throw new Error(`response of call ${job.call_id} is not recorded yet`)
  },
  releaseRun: run => realtimeCalls.leave(run),
  isBegun: async ({ event_id }) => (await jobs.records.get(event_id)) !== undefined,
  onRunEnded: run => endedRuns.tell(run),
  listLeases: () => openLeases?.wallet.totals() ?? [],
  onAdopted: directory => void notedCalls.push(new KnownCalls(join(directory, callsFolder))),
  // What runs is metered by nobody any more. Started again, this process is another gateway.
  onTakenOver: () => {
    process.exitCode = 1
    endAllCalls(liveCalls)
    closing.stop('journal taken over')
  },
})
closing.defer('journal', () => journal.shutdown())
const leases = closing.use(
  new LeaseClient({
    publisher: leasePublisher,
    gatewayId: journal.gatewayId,
    epoch: journal.epoch,
    synced: () => journal.synced(),
    nextOf: nextWindowOf(budgets.find, createWindowFinder()),
    log,
    // Another process says that it is the next run of this journal: what this one holds is not its own any more.
    onFenced: () => {
      process.exitCode = 1
      endAllCalls(liveCalls)
      closing.stop('a later run of this gateway holds its leases')
    },
  }),
  'leases',
)
openLeases = leases
// Behind the journal, whose lock says that this folder is ours.
const spool = await Spool.open(config.spoolDir, new BodyMemory(config.maxSpoolBytes))
const soundMeter = closing.use(new SoundMeter(), 'sound meter')
const refused = createRefusedPublisher({ bus, log })
closing.defer('refused calls', () => refused.close())

const upstreams = closing.use(
  createUpstreams({
    ca: config.upstreamCaFile === undefined ? undefined : readFileSync(config.upstreamCaFile, 'utf8'),
  }),
  'upstreams',
)
closing.use(
  answerRequests(
    bus,
    integrationTestSubject,
    async body => {
      const asked = IntegrationTestRequest.decode(body)
      const result = await testIntegration({ routes, projects, managed, upstreams, timeouts: config.timeouts }, asked)
      return { body: IntegrationTestResult.encode(result) }
    },
    { log, concurrency: 4 },
  ),
  'integration tests',
)
const batchEvents = createBatchEvents(log)
batchEvents.observe(jobs.all)
const { minIntervalMs, listIntervalMs, leaseMs } = config.batches
const own = { gatewayId: journal.gatewayId, epoch: journal.epoch, maxCreateMs: config.timeouts.headersMs + 300_000 }
const asking = { jobs, routes, projects, upstreams, timeouts: config.timeouts, events: batchEvents }
const files = await openStoredFiles(bus)
const poller = closing.use(
  new BatchPoller({
    ...asking,
    journal,
    prices,
    gatewayId: journal.gatewayId,
    homes: leasePublisher,
    log,
    minIntervalMs,
    leaseMs,
    onResult: batchEvents.resultSettled,
  }),
  'batch poller',
)
closing.use(new BatchFinder({ ...asking, own, homes: leasePublisher, intervalMs: listIntervalMs }), 'batch finder')
const background = closing.use(
  new BackgroundPoller({
    stored: records,
    made,
    journal,
    upstreams,
    timeouts: config.timeouts,
    routes,
    projects,
    keys,
    budgets,
    prices,
    homes: leasePublisher,
    log,
    minIntervalMs: config.backgroundPollMs,
  }),
  'background responses',
)
leases.tellOf(() => runningHolders(jobs, records))
const gate = createAdmissionGate({
  freshAtMs: () =>
    Math.min(keys.freshAtMs(), projects.freshAtMs(), managed.freshAtMs(), rooms.freshAtMs(), budgets.freshAtMs()),
  maxViewAgeMs: config.maxViewAgeMs,
})
/** Nobody is to be sent here before somebody answers. */
let isListening = false
const notReady = (): string | undefined =>
  isListening ? whyNotReady({ gate, prices, journal, leases }, Date.now()) : 'it does not listen yet'
closing.use(
  startHeartbeat({
    bus,
    gatewayId: journal.gatewayId,
    epoch: journal.epoch,
    read: () => ({
      ready: notReady() === undefined,
      active_calls: liveCalls.size,
      unpublished_events: journal.unpublishedEvents(),
      ...tellJournal(journal, prices),
    }),
  }),
  'heartbeat',
)
closing.use(
  startTellingKeysUsed({ bus, keys, gatewayId: journal.gatewayId, intervalMs: config.keysUsedMs, log }),
  'use of keys',
)
events.observe({
  activeCalls: () => liveCalls.size,
  openSockets: () => sockets.count,
  drains: () => drains.running,
  waitingForMoney: () => leases.line.length,
  bodyMemoryBytes: () => bodyMemory.usedBytes,
  unpublishedEvents: () => journal.unpublishedEvents(),
  journalUnavailable: () => problemOfJournal(journal) !== undefined,
})
const loadsLate = config.loadVocabulary === 'when-needed'
const tokenCounter = new TokenCounter({ onText: events.textCounted, loadsLate })
if (!loadsLate) tokenCounter.load()
const textCounting = closing.use(new TextCounting(text => tokenCounter.countWhole(text)), 'text counting')
const calls = new CallKeeper({
  calls: realtimeCalls,
  noted: notedCalls,
  gatewayId: journal.gatewayId,
  epoch: journal.epoch,
  leaseMs: config.callLeaseMs,
  log,
})
const deps: AppDeps = {
  journal,
  calls,
  upstreams,
  liveCalls,
  timeouts: config.timeouts,
  keys,
  projects,
  rooms,
  trustedProxies: config.trustedProxies,
  tokens,
  clientSecrets: createClientSecretBox(secrets.masterKey),
  budgets,
  prompts: new CountedPrompts(),
  leases: {
    client: leases,
    copies: budgets,
    findWindow: createWindowFinder(),
    allowance: new UnknownAllowance(),
    tokenLengths: new TokenLengths(),
    countText: text => textCounting.count(text),
  },
  prices,
  routes,
  batches: {
    jobs,
    files,
    writers: new FileWriters(jobs, poller),
    poller,
    events: batchEvents,
    own,
    minIntervalMs,
  },
  stored: { records, poller: background },
  containers: containers.recent,
  made,
  bodyMemory,
  drains,
  tokenCounter,
  spool,
  soundMeter,
  spans,
  gatewayId: journal.gatewayId,
  publicOrigin: config.publicOrigin,
  closedFor: gate.closedFor,
  onSettled: (call, event, { usage }) => {
    rememberContainer({ made }, call, usage)
    events.callSettled(call, event)
  },
  onRefused: call => {
    events.callRefused(call)
    refused.refuse(call)
  },
  onInternalError: events.internalError,
  front: closing.use(createFront(config.frontRoutes, config.trustedProxies), 'front'),
  tls: config.tls,
  sockets,
}
const app = buildApp(deps)
closing.use(
  await startOperatorServer({
    host: config.host,
    port: config.operatorPort,
    metrics: metricsText,
    ready: notReady,
    routes: operators => {
      batchRoutes({ ...asking, files, keys, prices, own })(operators)
      leaseRoutes(leases.wallet)(operators)
    },
    log,
  }),
  'operator server',
)
closing.use(app, 'app')
// Runs first at shutdown: the load balancer may notice, no new calls, then the running ones end, by themselves or at the deadline.
closing.defer('running calls', async () => {
  gate.leave()
  await delay(config.leaveMs)
  gate.shutDown()
  sockets.leave()
  if (!(await liveCalls.whenIdle(config.drainMs))) endAllCalls(liveCalls)
  await sockets.close()
  await calls.close()
})
calls.start(deps)
await app.listen({ host: config.host, port: config.port })
isListening = true
log.info(
  { gatewayId: journal.gatewayId, epoch: journal.epoch, port: config.port, simulated: config.simulated },
  'gateway listening',
)
await closing.untilSignal()
