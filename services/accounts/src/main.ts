import { answerMemberMailboxes, answerParticipantProofs, connectBus } from '@sluice/bus'
import { startOutboxRelay, watchOutbox } from '@sluice/postgres'
import {
  ClosingStack,
  createLogger,
  createSecretBox,
  readOrEnd,
  startOperatorServer,
  withinScope,
} from '@sluice/runtime'
import { metricsText, outboxMetrics } from '@sluice/telemetry'
import { createAccountPublisher } from './account-publisher.ts'
import { buildApp } from './app.ts'
import { createChanges } from './change-store.ts'
import { readConfig } from './config.ts'
import { chainRecordedChanges } from './consumers/audit-recorded.ts'
import { storeKeysUsed } from './consumers/keys-used.ts'
import { sendUsageSpans } from './consumers/usage-recorded.ts'
import { openTenants } from './db/open-tenants.ts'
import { changeCommitted } from './events.ts'
import { Limits } from './limits.ts'
import { findMailbox } from './member-store.ts'
import { passwordCost } from './password.ts'
import { proveParticipant } from './prove-token.ts'
import { isDatabaseReady } from './readiness-store.ts'
import { repairAnnouncements } from './repair-announcements.ts'
import { createSendSpans } from './send-spans.ts'
import { createSignInDevices } from './sign-in-device.ts'
import { createSignInThrottle } from './sign-in-throttle.ts'
import { sweep } from './sweep.ts'
import { askGateways } from './test-integration.ts'
import { startUpkeep } from './upkeep.ts'

const { config, secrets } = readOrEnd(readConfig, process.env)
if (!process.argv.includes('--check-config')) {
  const log = createLogger('accounts', config.logLevel)
  const closing = new ClosingStack(log)
  const now = Date.now
  const { db } = closing.use(openTenants(config.databaseUrl), 'database')
  const bus = closing.use(await connectBus(config.nats, 'accounts', log), 'bus')
  const publisher = await createAccountPublisher(bus)
  const relay = closing.use(startOutboxRelay(db, publisher.send, { log }), 'outbox')
  closing.use(
    watchOutbox(db, {
      onWaiting: outboxMetrics('accounts'),
      onError: err => log.warn({ err }, 'outbox not looked at'),
    }),
    'outbox watch',
  )
  const changes = createChanges({
    db,
    now,
    limits: new Limits(config.limits),
    flush: relay.flush,
    onCommitted: (actor, entries) => changeCommitted(log, actor, entries),
  })
  const upkeep = closing.use(
    startUpkeep({
      repair: () =>
        withinScope({ system: true }, () =>
          repairAnnouncements({ db, now, readDigests: publisher.readDigests, flush: relay.flush }),
        ),
      sweep: () => sweep(changes),
      isConnected: bus.isConnected,
      log,
    }),
    'upkeep',
  )
  closing.use(storeKeysUsed({ bus, db, now, log }), 'use of keys')
  closing.use(await chainRecordedChanges({ bus, db, now, log }), 'changes of other services')
  const box = createSecretBox(secrets.masterKey)
  const prove = (token: string) => withinScope({ system: true }, () => proveParticipant({ db, box, now }, token))
  closing.use(answerParticipantProofs(bus, prove, log), 'proofs of tokens')
  closing.use(
    answerMemberMailboxes(
      bus,
      ({ project_id, member_id }) => withinScope({ system: true }, () => findMailbox(db, project_id, member_id)),
      log,
    ),
    'mailboxes of members',
  )
  const sendSpans = createSendSpans({ allowPrivate: config.allowPrivateUpstreams })
  closing.use(sendUsageSpans({ bus, db, box, send: sendSpans, log }), 'spans of usage')
  const app = buildApp({
    db,
    changes,
    box,
    throttle: createSignInThrottle({ now }),
    devices: createSignInDevices(secrets.masterKey, now),
    passwordCost,
    now,
    log,
    publicUrl: config.publicUrl,
    allowPrivateUpstreams: config.allowPrivateUpstreams,
    trustedProxies: config.trustedProxies,
    testIntegration: asked => askGateways(bus, asked),
    sendSpans,
  })
  closing.use(app, 'routes')
  // First: nobody is ready whose routes do not answer.
  const address = await app.listen({ host: config.host, port: config.port })
  const operator = closing.use(
    await startOperatorServer({
      host: config.host,
      port: config.operatorPort,
      metrics: metricsText,
      ready: async () => {
        if (!bus.isConnected()) return 'NATS'
        if (!(await isDatabaseReady(db))) return 'PostgreSQL'
        return upkeep.isRepaired() ? undefined : 'announcements'
      },
    }),
    'operator server',
  )
  log.info({ address, operatorPort: operator.port }, 'listening')
  await closing.untilSignal()
}
