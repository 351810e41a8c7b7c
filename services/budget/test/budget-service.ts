import { randomBytes, randomUUID } from 'node:crypto'
import {
  answerMemberMailboxes,
  answerParticipantProofs,
  type Bus,
  connectBus,
  openBucket,
  subscribe,
} from '@sluice/bus'
import {
  AuditRecorded,
  type AuditRecordedData,
  BudgetCutoff,
  BudgetReleased,
  type Cutoff,
  Key,
  Project,
  type ProvedParticipant,
  partitionOf,
  type Role,
  Session,
} from '@sluice/contracts'
import { openDatabase, runMigrations } from '@sluice/postgres'
import { ClosingStack, createLogger, createSecretBox, formatApiKey, hashCredential } from '@sluice/runtime'
import {
  atFileEnd,
  eventually,
  makeUsageEvent,
  publishUsage,
  type TestScope,
  testNats,
  testPostgres,
  type UsageOverrides,
} from '@sluice/test-env'
import type { BudgetConfig } from '../src/config.ts'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import { databaseSchema, migrations } from '../src/db/migrations/index.ts'
import type { BudgetTables } from '../src/db/schema.ts'
import { startBudget } from '../src/main.ts'

const silent = createLogger('budget-test', process.env.SLUICE_LOG_LEVEL ?? 'silent')

/** For what all tests of a file share: cleaned up after the last one, last opened first. */
export const fileScope: TestScope = { after: clean => atFileEnd(async () => clean()) }

/** A database with the schema of this service, which each file gets a copy of: migrations take longer than most of the tests. */
let template: Promise<string> | undefined

async function makeTemplate(): Promise<string> {
  const { url } = await testPostgres({ after: () => {} }, { schemas: [databaseSchema], shared: true })
  const { db, close } = openDatabase<BudgetTables>({ url, schema: databaseSchema, maxConnections: 1 })
  try {
    await runMigrations(db, databaseSchema, migrations)
    await isolateTenants(db)
  } finally {
    // Copied where nobody is connected to it.
    await close()
  }
  return new URL(url).pathname.slice(1)
}

/** A fresh database of this service, with its own connections. */
export async function openBudgetDatabase(t: TestScope, maxConnections?: number) {
  template ??= makeTemplate()
  const { url } = await testPostgres(t, { template: await template })
  const { db, close } = openDatabase<BudgetTables>({
    url,
    schema: databaseSchema,
    ...(maxConnections === undefined ? {} : { maxConnections }),
  })
  t.after(close)
  return { url, db }
}

/** Real stores with nothing running on them. */
export async function openStores(t: TestScope) {
  const nats = await testNats(t)
  const postgres = await openBudgetDatabase(t)
  const { db } = postgres
  const connectAs = async (user: 'accounts' | 'gateway' | 'budget'): Promise<Bus> => {
    const { pass } = nats.users[user]
    const bus = await connectBus({ url: nats.url, user, password: pass }, user, silent)
    t.after(bus.close)
    return bus
  }
  const config: BudgetConfig = {
    host: '127.0.0.1',
    port: 0,
    operatorPort: 0,
    logLevel: 'silent',
    trustedProxies: [],
    nats: { url: nats.url, user: 'budget', password: nats.users.budget.pass },
    databaseUrl: postgres.url,
    publicOrigin: 'https://sluice.example.com',
    // A tick looks through every home, and services of several files run beside each other: whoever waits for it asks for more.
    rolloverIntervalMs: 5_000,
    windowIntervalMs: 20,
    silentMs: 15 * 60_000,
    unresolvedMs: 24 * 60 * 60_000,
    secretBox: createSecretBox(randomBytes(32).toString('base64')),
    allowPrivateUpstreams: true,
    alertPollMs: 5_000,
    mail: undefined,
  }
  return { nats, db, config, connectAs, log: silent }
}
export type Stores = Awaited<ReturnType<typeof openStores>>

/** Starts the service; `stop` ends it before the test does. */
export async function startService(t: TestScope, stores: Pick<Stores, 'config'>) {
  const closing = new ClosingStack(silent)
  t.after(() => closing.close())
  const service = await startBudget(stores.config, closing, silent)
  return { ...service, stop: () => closing.close() }
}

/** The service on stores of its own, with what tests say to it and hear from it. */
export async function openService(t: TestScope, overrides: Partial<BudgetConfig> = {}) {
  const stores = await openStores(t)
  Object.assign(stores.config, overrides)
  const accounts = await stores.connectAs('accounts')
  const gateway = await stores.connectAs('gateway')
  const service = await startService(t, stores)
  const keys = await openBucket(accounts, 'keys', Key)
  const projects = await openBucket(accounts, 'projects', Project)
  const sessions = await openBucket(accounts, 'sessions', Session)

  /** Every push that gateways have heard, in order. */
  const pushes: (Cutoff & { heardAt: number })[] = []
  const hear = (cutoff: Cutoff) => void pushes.push({ ...cutoff, heardAt: performance.now() })
  subscribe(gateway, BudgetCutoff, 'budget.cutoff.v1', hear, silent)
  subscribe(gateway, BudgetReleased, 'budget.released.v1', hear, silent)
  await gateway.connection.flush()

  const told: AuditRecordedData[] = []
  stores.nats.admin.subscribe('audit.recorded.v1.budget', {
    callback: (_error, message) => void told.push(AuditRecorded.decode(message.data)),
  })
  await stores.nats.admin.flush()
  /** What the account's trail was told of a target, once it was. */
  const toldTrail = (target: string, action: string) =>
    eventually(async () => {
      const found = told.filter(change => change.target === target && change.action === action)
      return found.length > 0 ? found : undefined
    })

  /** Tokens that accounts has proved, and for whom. */
  const tokens = new Map<string, ProvedParticipant>()
  const proofs = answerParticipantProofs(accounts, async token => tokens.get(token), silent)
  t.after(proofs.close)
  /** Where mail reaches members, by their ids. */
  const mailboxes = new Map<string, string>()
  const answering = answerMemberMailboxes(accounts, async ({ member_id }) => mailboxes.get(member_id), silent)
  t.after(answering.close)
  await accounts.connection.flush()

  const numbers = new Map<number, number>()
  /** Publishes events of one project as one message, numbered behind what this gateway has sent. */
  async function send(projectId: string, events: UsageOverrides[]) {
    const partition = partitionOf(projectId)
    const first = (numbers.get(partition) ?? 0) + 1
    const range = { gatewayId: 'gw_test', epoch: 1, partition, first, last: first + events.length - 1 }
    numbers.set(partition, range.last)
    const sent = await publishUsage(
      gateway,
      range,
      events.map(event => makeUsageEvent({ ...event, identity: { ...event.identity, project_id: projectId } })),
    )
    return { range, events: sent }
  }

  /** A project with a key of this role, known to the service; answers what calls its REST routes. */
  async function newProject(role: Role = 'admin') {
    const projectId = randomUUID()
    const call = await newKey(projectId, role)
    return { projectId, call }
  }

  /** A project's document, as accounts publishes it. */
  const putProject = (projectId: string, teams: Project['teams'] = []) =>
    projects.put(projectId, {
      project_id: projectId,
      version: 1,
      account_id: 'acct_test',
      name: 'Test',
      disabled: false,
      allowed_models: null,
      integrations: [],
      unpriced: 'deny',
      on_client_abort: { openai: 'cancel', anthropic: 'cancel' },
      teams,
    })

  async function newKey(projectId: string, role: Role, owner: Partial<Key> = {}) {
    const { call } = await newSigner(projectId, role, owner)
    return call
  }

  /** A key, and the participants that it signs tokens for. */
  async function newSigner(projectId: string, role: Role, owner: Partial<Key> = {}) {
    const keyId = randomUUID()
    const value = formatApiKey({ keyId, projectId, secret: randomUUID() })
    await putProject(projectId)
    await keys.put(keyId, {
      key_id: keyId,
      version: 1,
      project_id: projectId,
      account_id: 'acct_test',
      name: 'Test',
      role,
      ...owner,
      secrets: [
        {
          secret_id: 'sec_1',
          hash: hashCredential(value),
          envelope: { v: 1, kid: 'none', wrapped_key: '', nonce: '', ciphertext: '' },
        },
      ],
    })
    const newToken = (participant: Omit<ProvedParticipant, 'key_hash' | 'may_call'>, mayCall = true) => {
      const token = `ey.${Buffer.from(randomUUID()).toString('base64url')}.x`
      tokens.set(token, { key_hash: hashCredential(value), may_call: mayCall, ...participant })
      return callAs(token, '/')
    }
    return { keyId, call: callAs(value, '/accounts/projects/'), newToken }
  }

  const callAs =
    (bearer: string, base: string) =>
    async (
      method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
      path: string,
      payload?: object | string,
      headers: object = {},
    ) => {
      const answer = await service.app.inject({
        method,
        url: `${base}${path}`,
        headers: { authorization: `Bearer ${bearer}`, ...headers },
        ...(payload === undefined ? {} : { payload }),
      })
      return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
    }

  /** A signed-in person; answers what calls routes below `/accounts/`. */
  async function newPerson(accountId: string, isAdmin: boolean) {
    const token = randomUUID()
    await sessions.put(hashCredential(token), {
      member_id: randomUUID(),
      account_id: accountId,
      account_admin: isAdmin,
      projects: {},
      expires_at_ms: Date.now() + 600_000,
    })
    return callAs(token, '/accounts/')
  }

  return {
    ...stores,
    service,
    gateway,
    pushes,
    toldTrail,
    send,
    newProject,
    putProject,
    newKey,
    newSigner,
    newPerson,
    callAs,
    mailboxes,
  }
}
